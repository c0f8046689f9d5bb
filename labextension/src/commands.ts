/** Every action is a command: in the palette, in menus, and for other extensions. */

import { JupyterFrontEnd } from '@jupyterlab/application';
import { TranslationBundle } from '@jupyterlab/translation';
import { addIcon, copyIcon, historyIcon, moveUpIcon, notebookIcon, refreshIcon } from '@jupyterlab/ui-components';
import { ReadonlyJSONObject, ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { askDescription, askEnvironment, confirmArchive, showProblem } from './dialogs';
import { panelIcon } from './icons';
import { PanelModel } from './model';
import { Navigation, Tab } from './navigation';
import { kernelOf, sessionOf, specOf } from './notebook';
import { Environment, RevisionRef } from './types';

export namespace CommandIDs {
  export const open = 'envpanel:open';
  export const refresh = 'envpanel:refresh';
  export const show = 'envpanel:show';
  export const history = 'envpanel:history';
  export const clone = 'envpanel:clone';
  export const install = 'envpanel:install';
  export const upgrade = 'envpanel:upgrade';
  export const notebook = 'envpanel:new-notebook';
  export const build = 'envpanel:build';
  export const describe = 'envpanel:describe';
  export const archive = 'envpanel:archive';
  export const unarchive = 'envpanel:unarchive';
  export const sideBySide = 'envpanel:side-by-side';
  export const choose = 'envpanel:choose';
  export const restart = 'envpanel:restart-on-head';
  export const stay = 'envpanel:stay';
  export const difference = 'envpanel:difference';
}

export interface CommandOptions {
  app: JupyterFrontEnd;
  model: PanelModel;
  navigation: Navigation;
  panelId: string;
  trans: TranslationBundle;
}

type Args = ReadonlyPartialJSONObject;

const NAME: ReadonlyJSONObject = { name: { type: 'string', description: 'The name of an environment' } };

export function addCommands({ app, model, navigation, panelId, trans }: CommandOptions): void {
  const { commands, shell } = app;
  const describedBy = (properties: ReadonlyJSONObject = {}) => ({
    args: { type: 'object', properties, additionalProperties: true }
  });

  /** The name that was given, or that of the row whose context menu this is. */
  const given = (args: Args): string | undefined => {
    if (typeof args.name === 'string') {
      return args.name;
    }
    return args.fromContext ? app.contextMenuHitTest(node => Boolean(node.dataset.name))?.dataset.name : undefined;
  };
  /** Else that of the page, else one that is chosen. */
  const target = async (args: Args, fits: (item: Environment) => boolean): Promise<string | undefined> => {
    const { page } = navigation;
    const here = 'name' in page ? model.environment(page.name) : undefined;
    const name = given(args) ?? (here && fits(here) ? here.name : undefined);
    if (name) {
      return name;
    }
    if (!model.environments) {
      await model.refresh();
    }
    return askEnvironment((model.environments ?? []).filter(fits), trans);
  };
  const isCustom = (item: Environment): boolean => item.kind === 'custom';
  const isAny = (): boolean => true;
  /** Whether a command makes sense of what was given; what is not known yet is asked for. */
  const forCustom = (args: Args): boolean => {
    const name = given(args);
    return name === undefined || model.environment(name)?.kind === 'custom';
  };
  const failed = (error: unknown): Promise<void> => showProblem(error as Error, trans);
  const reveal = (): void => shell.activateById(panelId);

  commands.addCommand(CommandIDs.open, {
    label: trans.__('Environments'),
    caption: trans.__("Show the project's Python environments"),
    icon: panelIcon,
    describedBy: describedBy(),
    execute: reveal
  });

  commands.addCommand(CommandIDs.refresh, {
    label: trans.__('Refresh Environments'),
    icon: refreshIcon,
    describedBy: describedBy(),
    execute: () => model.refresh()
  });

  commands.addCommand(CommandIDs.show, {
    label: args => (given(args) ? trans.__('Show Packages') : trans.__('Show Environment…')),
    icon: panelIcon,
    describedBy: describedBy({ ...NAME, tab: { type: 'string', enum: ['packages', 'history', 'activity'] } }),
    execute: async args => {
      const name = await target(args, isAny);
      if (name) {
        const tab = (typeof args.tab === 'string' ? args.tab : 'packages') as Tab;
        navigation.go({ kind: 'environment', name, tab });
        reveal();
      }
    }
  });

  commands.addCommand(CommandIDs.history, {
    label: args => (given(args) ? trans.__('Show History') : trans.__('Show History of Environment…')),
    icon: historyIcon,
    describedBy: describedBy({ ...NAME, revision: { type: 'integer', description: 'The one to open' } }),
    execute: async args => {
      const name = await target(args, isAny);
      if (name) {
        const revision = typeof args.revision === 'number' ? { revision: args.revision } : {};
        navigation.go({ kind: 'environment', name, tab: 'history', ...revision });
        reveal();
      }
    }
  });

  commands.addCommand(CommandIDs.clone, {
    label: trans.__('Clone Environment…'),
    caption: trans.__('Make a custom environment of a base or another one'),
    icon: copyIcon,
    describedBy: describedBy(NAME),
    execute: args => {
      navigation.go({ kind: 'clone', source: given(args) ?? null });
      reveal();
    }
  });

  commands.addCommand(CommandIDs.install, {
    label: trans.__('Install Packages…'),
    icon: addIcon,
    isVisible: forCustom,
    describedBy: describedBy({ ...NAME, requirements: { type: 'array', items: { type: 'string' } } }),
    execute: async args => {
      const name = await target(args, isCustom);
      if (name) {
        const requirements = Array.isArray(args.requirements) ? args.requirements.map(String) : [];
        navigation.go({ kind: 'install', name, requirements });
        reveal();
      }
    }
  });

  commands.addCommand(CommandIDs.upgrade, {
    label: trans.__('Upgrade Packages…'),
    icon: moveUpIcon,
    isVisible: forCustom,
    describedBy: describedBy({ ...NAME, packages: { type: 'array', items: { type: 'string' } } }),
    execute: async args => {
      const name = await target(args, isCustom);
      if (name) {
        const packages = Array.isArray(args.packages) ? args.packages.map(String) : [];
        navigation.go({ kind: 'proposal', name, intent: { operation: 'upgrade', packages } });
        reveal();
      }
    }
  });

  commands.addCommand(CommandIDs.notebook, {
    label: args => (given(args) ? trans.__('New Notebook') : trans.__('New Notebook in Environment…')),
    icon: notebookIcon,
    describedBy: describedBy(NAME),
    execute: async args => {
      const name = await target(args, isAny);
      if (!name) {
        return;
      }
      try {
        await ready(model, name);
        await app.serviceManager.kernelspecs.refreshSpecs();
        await commands.execute('notebook:create-new', { kernelName: specOf(name) });
      } catch (error) {
        await failed(error);
      }
    }
  });

  commands.addCommand(CommandIDs.build, {
    label: trans.__('Build on This Machine'),
    caption: trans.__('Have its packages ready before a kernel starts'),
    isVisible: args => {
      const name = given(args);
      return name === undefined || ['not-built', 'damaged'].includes(model.environment(name)?.state ?? '');
    },
    describedBy: describedBy(NAME),
    execute: async args => {
      const name = await target(args, isAny);
      if (name) {
        try {
          model.own(await model.service.prepare(name));
        } catch (error) {
          await failed(error);
        }
      }
    }
  });

  commands.addCommand(CommandIDs.describe, {
    label: trans.__('Change Description…'),
    isVisible: forCustom,
    describedBy: describedBy({ ...NAME, description: { type: 'string' } }),
    execute: async args => {
      const name = await target(args, isCustom);
      if (!name) {
        return;
      }
      const description =
        typeof args.description === 'string'
          ? args.description
          : await askDescription(name, model.environment(name)?.description ?? '', trans);
      if (description !== null) {
        await model.follow(await model.service.change(name, { operation: 'describe', description })).catch(failed);
      }
    }
  });

  commands.addCommand(CommandIDs.archive, {
    label: trans.__('Delete Environment…'),
    caption: trans.__('Archive it: its history stays'),
    isVisible: forCustom,
    describedBy: describedBy(NAME),
    execute: async args => {
      const name = await target(args, isCustom);
      if (name && (await confirmArchive(name, model.kernelsOf(name).length, trans))) {
        try {
          await model.follow(await model.service.change(name, { operation: 'archive' }));
          if ('name' in navigation.page && navigation.page.name === name) {
            navigation.go({ kind: 'list' });
          }
        } catch (error) {
          await failed(error);
        }
      }
    }
  });

  commands.addCommand(CommandIDs.unarchive, {
    label: trans.__('Bring Back Deleted Environment…'),
    describedBy: describedBy(NAME),
    execute: async args => {
      try {
        const archived = (await model.service.list({ archived: true })).filter(item => item.state === 'archived');
        const name = given(args) ?? (await askEnvironment(archived, trans));
        if (name) {
          await model.follow(await model.service.change(name, { operation: 'unarchive' }));
        }
      } catch (error) {
        await failed(error);
      }
    }
  });
}

/** Both YAML files in a tab of the main area. */
export function addSideBySide({ app, model, trans }: CommandOptions): void {
  const side = { type: 'object', properties: { name: { type: 'string' }, revision: { type: 'integer' } } };
  app.commands.addCommand(CommandIDs.sideBySide, {
    label: trans.__('YAML Side by Side'),
    describedBy: { args: { type: 'object', properties: { from: side, to: side }, required: ['from', 'to'] } },
    execute: async args => {
      const { from, to } = args as unknown as { from: RevisionRef; to: RevisionRef };
      try {
        const [old, now] = await Promise.all(
          [from, to].map(each => model.service.file(each.name, each.revision, 'yaml'))
        );
        // What compares them is fetched when somebody wants it.
        const { sideBySide } = await import('./side-by-side');
        const widget = sideBySide({ title: written(from), text: old }, { title: written(to), text: now }, trans);
        app.shell.add(widget, 'main');
        app.shell.activateById(widget.id);
      } catch (error) {
        await showProblem(error as Error, trans);
      }
    }
  });
}

function written({ name, revision }: RevisionRef): string {
  return `${name} r${revision}`;
}

/** What a notebook or console that is in front can do about its environment. */
export function addNotebookCommands({ app, model, navigation, panelId, trans }: CommandOptions): void {
  const { commands, shell } = app;
  const describedBy = (properties: ReadonlyJSONObject = {}) => ({ args: { type: 'object', properties } });
  const session = () => sessionOf(shell.currentWidget);
  const view = () => {
    const context = session();
    return context ? kernelOf(model, context) : undefined;
  };

  commands.addCommand(CommandIDs.choose, {
    label: args => (typeof args.name === 'string' ? args.name : trans.__('Use Environment in Notebook…')),
    caption: trans.__('Start the kernel of this notebook in another environment'),
    isEnabled: () => session() !== null,
    describedBy: describedBy(NAME),
    execute: async args => {
      const context = session();
      const name = typeof args.name === 'string' ? args.name : await askEnvironment(model.environments ?? [], trans);
      if (!context || !name) {
        return;
      }
      try {
        await ready(model, name);
        await app.serviceManager.kernelspecs.refreshSpecs();
        await context.changeKernel({ name: specOf(name) });
      } catch (error) {
        await showProblem(error as Error, trans);
      }
    }
  });

  commands.addCommand(CommandIDs.restart, {
    label: args =>
      typeof args.revision === 'number'
        ? trans.__('Restart on r%1', args.revision)
        : trans.__('Restart Kernel on the Newest Revision'),
    isEnabled: () => (view()?.behind ?? 0) > 0,
    describedBy: describedBy({ revision: { type: 'integer', description: 'The newest; it is told only' } }),
    execute: async () => {
      const kernel = view();
      if (kernel?.stay) {
        await model.service.stay(kernel.kernel.id, false);
      }
      await ready(model, kernel?.kernel.environment ?? '');
      // It asks first: what the kernel holds will be gone.
      await commands.execute('kernelmenu:restart');
      model.refreshSoon();
    }
  });

  commands.addCommand(CommandIDs.stay, {
    label: args =>
      typeof args.revision === 'number'
        ? trans.__('Stay on r%1 at Restarts', args.revision)
        : trans.__('Keep Kernel on Its Revision at Restarts'),
    isToggled: () => view()?.stay ?? false,
    isEnabled: () => view()?.here ?? false,
    describedBy: describedBy({ kernel: { type: 'string' }, revision: { type: 'integer' } }),
    execute: async () => {
      const kernel = view();
      if (kernel) {
        await model.service.stay(kernel.kernel.id, !kernel.stay).catch(error => showProblem(error as Error, trans));
        await model.refresh();
      }
    }
  });

  commands.addCommand(CommandIDs.difference, {
    label: args => trans.__('What Is Different in r%1', Number(args.revision)),
    isVisible: args => typeof args.name === 'string',
    describedBy: describedBy({ ...NAME, from: { type: 'integer' }, revision: { type: 'integer' } }),
    execute: args => {
      const { name, from, revision } = args as { name: string; from: number; revision: number };
      navigation.go({ kind: 'environment', name, tab: 'history', revision, from });
      shell.activateById(panelId);
    }
  });
}

/** Built, or the reason why not. */
async function ready(model: PanelModel, name: string): Promise<void> {
  if (model.environment(name)?.state === 'ready') {
    return;
  }
  const running = model.running(name);
  await model.follow({ outcome: null, build: running ?? (await model.service.prepare(name)) });
}
