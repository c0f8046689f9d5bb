/** Tells how something ended to who began it, wherever they are by then. */

import { Notification } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { CommandIDs } from './commands';
import { countsText, operationText } from './format';
import { Ended, PanelModel } from './model';

export function announce(model: PanelModel, commands: CommandRegistry, trans: TranslationBundle): void {
  model.ended.connect((_, ended) => {
    const { environment: name, operation, state, outcome, failure } = ended;
    if (state === 'succeeded' && operation === 'clone') {
      // Its row is there at once; that it is ready is told once it is.
      return;
    }
    if (state === 'succeeded') {
      const action =
        operation === 'archive'
          ? {
              label: trans.__('Bring back'),
              callback: () => void commands.execute(CommandIDs.unarchive, { name })
            }
          : outcome
            ? {
                label: trans.__('Show'),
                callback: () => void commands.execute(CommandIDs.history, { name, revision: outcome.record.number })
              }
            : {
                label: trans.__('New notebook'),
                callback: () => void commands.execute(CommandIDs.notebook, { name })
              };
      Notification.success(successText(ended, trans), { autoClose: 5000, actions: [action] });
    } else if (state === 'failed') {
      Notification.error(short(`${name}: ${failure?.message ?? operationText(operation, trans)}`), {
        autoClose: 15_000,
        actions: [
          {
            label: trans.__('Show'),
            callback: () => void commands.execute(CommandIDs.show, { name, tab: 'activity' })
          }
        ]
      });
    }
  });
}

function successText({ environment, operation, outcome }: Ended, trans: TranslationBundle): string {
  if (!outcome) {
    return trans.__('%1 is ready.', environment);
  }
  if (!outcome.changed) {
    return trans.__('%1: there was nothing to change.', environment);
  }
  const counts = countsText(outcome.record.diff);
  const what = `${environment} r${outcome.record.number}: ${operationText(operation, trans)}`;
  return operation !== 'clone' && counts ? `${what} (${counts})` : what;
}

/** A toast has room for a sentence; all of it is in the panel. */
function short(text: string): string {
  return text.length > 200 ? `${text.slice(0, 197)}…` : text;
}
