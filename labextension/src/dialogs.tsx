/** The few questions that are asked in a dialog: those with one short answer. */

import { Dialog, InputDialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { Environment } from './types';

/** Which environment is meant; undefined where none is. */
export async function askEnvironment(
  environments: readonly Environment[],
  trans: TranslationBundle
): Promise<string | undefined> {
  if (environments.length === 0) {
    await showDialog({
      title: trans.__('There is no such environment'),
      body: trans.__('Bases never change, and can be cloned.'),
      buttons: [Dialog.okButton()]
    });
    return undefined;
  }
  const { button, value } = await InputDialog.getItem({
    title: trans.__('Which environment?'),
    items: environments.map(item => item.name)
  });
  return button.accept ? (value ?? undefined) : undefined;
}

export async function askDescription(name: string, text: string, trans: TranslationBundle): Promise<string | null> {
  const { button, value } = await InputDialog.getText({
    title: trans.__('Description of %1', name),
    text,
    okLabel: trans.__('Change')
  });
  return button.accept ? (value ?? '') : null;
}

export async function confirmArchive(name: string, kernels: number, trans: TranslationBundle): Promise<boolean> {
  const running =
    kernels > 0
      ? trans._n(' %1 kernel that runs goes on until it ends.', ' %1 kernels that run go on until they end.', kernels)
      : '';
  const { button } = await showDialog({
    title: trans.__('Delete %1?', name),
    body:
      trans.__('It leaves the list. Its history stays, its name stays taken, and it can be brought back.') + running,
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Delete') })]
  });
  return button.accept;
}

export function showProblem(error: Error, trans: TranslationBundle): Promise<void> {
  return showErrorMessage(trans.__('This did not work'), error.message);
}
