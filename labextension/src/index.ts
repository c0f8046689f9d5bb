/** The plugins: everything is put together here, and nothing is done here. */

import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, IToolbarWidgetRegistry } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';
import { addCommands, addNotebookCommands, addSideBySide, CommandIDs } from './commands';
import { PanelModel } from './model';
import { Navigation } from './navigation';
import { EnvironmentChip, sessionOf } from './notebook';
import { EnvironmentsPanel } from './panel';
import { RestEnvironments } from './service';
import { announce } from './toasts';
import { IEnvironments } from './tokens';

const service: JupyterFrontEndPlugin<IEnvironments> = {
  id: 'envpanel:service',
  description: "The project's environments, from the server.",
  autoStart: true,
  provides: IEnvironments,
  activate: (app: JupyterFrontEnd) =>
    new RestEnvironments(app.serviceManager.serverSettings, app.serviceManager.events.stream)
};

const panel: JupyterFrontEndPlugin<void> = {
  id: 'envpanel:plugin',
  description: 'The panel in the sidebar, its commands and menus.',
  autoStart: true,
  requires: [IEnvironments],
  optional: [ILayoutRestorer, ITranslator, ICommandPalette, ISettingRegistry, IToolbarWidgetRegistry],
  activate: (
    app: JupyterFrontEnd,
    environments: IEnvironments,
    restorer: ILayoutRestorer | null,
    languages: ITranslator | null,
    palette: ICommandPalette | null,
    registry: ISettingRegistry | null,
    toolbars: IToolbarWidgetRegistry | null
  ) => {
    const translator = languages ?? nullTranslator;
    const trans = translator.load('envpanel');
    const model = new PanelModel(environments);
    const navigation = new Navigation();
    const widget = new EnvironmentsPanel({ model, navigation, commands: app.commands, translator });
    const options = { app, model, navigation, panelId: widget.id, trans };
    addCommands(options);
    addNotebookCommands(options);
    addSideBySide(options);
    toolbars?.addFactory('Notebook', 'envpanel', notebook => {
      const session = sessionOf(notebook);
      return session ? new EnvironmentChip({ model, session, commands: app.commands, trans }) : new Widget();
    });
    // These make no sense without what they are told.
    const told: string[] = [CommandIDs.difference, CommandIDs.sideBySide];
    for (const command of Object.values(CommandIDs).filter(id => !told.includes(id))) {
      palette?.addItem({ command, category: trans.__('Environments') });
    }
    announce(model, app.commands, trans);
    app.serviceManager.connectionFailure.connect(() => model.lost());
    // A kernel that starts or ends changes who is behind; Jupyter knows it first.
    app.serviceManager.kernels.runningChanged.connect(() => model.refreshSoon());
    restorer?.add(widget, 'envpanel');

    let side = 'left';
    app.shell.add(widget, side, { rank: 700, type: 'Environments' });
    void registry?.load('envpanel:plugin').then(settings => {
      const follow = (): void => {
        const wanted = settings.get('side').composite as string;
        if (wanted !== side) {
          side = wanted;
          app.shell.add(widget, side, { rank: 700, type: 'Environments' });
        }
      };
      settings.changed.connect(follow);
      follow();
    });
    void model.refresh();
  }
};

export default [service, panel];
