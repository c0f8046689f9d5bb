/** The chip in the toolbar of a notebook, and what can be chosen from it. */

import { ISessionContext } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import { Menu, Widget } from '@lumino/widgets';
import * as React from 'react';
import { CommandIDs } from './commands';
import { Chip } from './components/chip';
import { ScreenProvider } from './components/context';
import { PanelModel } from './model';
import { KernelView } from './types';

const PREFIX = 'envpanel.';
/** So many environments are in the menu itself; more are chosen in a dialog. */
const SHORT = 12;

export interface ChipOptions {
  model: PanelModel;
  session: ISessionContext;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

export class EnvironmentChip extends ReactWidget {
  constructor(private readonly _options: ChipOptions) {
    super();
    this.addClass('jp-envpanel-chip-item');
    const { model, session } = _options;
    // A kernel that was restarted may be on another revision.
    session.statusChanged.connect((_, status) => {
      if (status === 'idle' && this._status !== 'busy') {
        model.refreshSoon();
      }
      this._status = status;
    });
  }

  protected override render(): React.JSX.Element {
    const { model, session, trans } = this._options;
    return (
      <ScreenProvider trans={trans} locale={undefined}>
        <UseSignal signal={model.stateChanged}>
          {() => (
            <UseSignal signal={session.kernelChanged}>
              {() => {
                const view = kernelOf(model, session);
                const head = view && model.environment(view.kernel.environment)?.head;
                return <Chip view={view} head={head} menu={place => this._menu(view, place)} />;
              }}
            </UseSignal>
          )}
        </UseSignal>
      </ScreenProvider>
    );
  }

  private _menu(view: KernelView | undefined, place: DOMRect): void {
    const { model, commands } = this._options;
    const menu = new Menu({ commands });
    if (view) {
      const name = view.kernel.environment;
      const head = model.environment(name)?.head ?? view.kernel.revision;
      if ((view.behind ?? 0) > 0) {
        menu.addItem({ command: CommandIDs.restart, args: { revision: head } });
        menu.addItem({ command: CommandIDs.difference, args: { name, from: view.kernel.revision, revision: head } });
      }
      menu.addItem({ command: CommandIDs.stay, args: { kernel: view.kernel.id, revision: view.kernel.revision } });
      menu.addItem({ type: 'separator' });
      menu.addItem({ command: CommandIDs.install, args: { name } });
      menu.addItem({ command: CommandIDs.history, args: { name } });
      menu.addItem({ type: 'separator' });
    }
    const others = (model.environments ?? []).filter(item => item.name !== view?.kernel.environment);
    const custom = others.filter(item => item.kind === 'custom').slice(0, SHORT);
    for (const item of custom) {
      menu.addItem({ command: CommandIDs.choose, args: { name: item.name } });
    }
    menu.addItem({ command: CommandIDs.choose });
    menu.open(place.left, place.bottom);
  }

  private _status = '';
}

/** The kernel of a session, as the project knows it. */
export function kernelOf(model: PanelModel, session: ISessionContext): KernelView | undefined {
  const id = session.session?.kernel?.id;
  return model.kernels.find(item => item.kernel.id === id);
}

/** The session of a notebook or console. */
export function sessionOf(widget: Widget | null): ISessionContext | null {
  return (widget as { sessionContext?: ISessionContext } | null)?.sessionContext ?? null;
}

/** The kernelspec of an environment. */
export function specOf(name: string): string {
  return PREFIX + name;
}
