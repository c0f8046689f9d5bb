/** The panel: shows the page that somebody is on, and follows the models. */

import { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Message } from '@lumino/messaging';
import { Menu } from '@lumino/widgets';
import * as React from 'react';
import { CommandIDs } from './commands';
import { ScreenProvider } from './components/context';
import { List, ListActions, ListMemory, newListMemory } from './components/list';
import { panelIcon } from './icons';
import { PanelModel } from './model';
import { Navigation, Page } from './navigation';
import { CloneView, Desk, EnvironmentView, InstallView, ProposalView } from './pages';

/** What can be done with an environment, in the order of its menu; null is a line between. */
const MENU: readonly (string | null)[] = [
  CommandIDs.notebook,
  CommandIDs.history,
  null,
  CommandIDs.install,
  CommandIDs.upgrade,
  CommandIDs.clone,
  null,
  CommandIDs.describe,
  CommandIDs.build,
  CommandIDs.archive
];

export interface PanelOptions {
  model: PanelModel;
  navigation: Navigation;
  commands: CommandRegistry;
  translator: ITranslator;
}

export class EnvironmentsPanel extends ReactWidget {
  private readonly _trans: TranslationBundle;
  private readonly _memory: ListMemory = newListMemory();
  private readonly _desk: Desk;
  // One object for good: rows whose environment is the same are not drawn again.
  private readonly _rowActions: ListActions;

  constructor(private readonly _options: PanelOptions) {
    super();
    this._trans = _options.translator.load('envpanel');
    const { model, navigation, commands } = _options;
    const run = (id: string, args: Record<string, unknown> = {}): void => {
      void commands.execute(id, args as ReadonlyPartialJSONObject);
    };
    const menu = (name: string, place: DOMRect): void => this._menu(name, place);
    this._desk = { model, navigation, run, menu, drafts: new Map() };
    this._rowActions = {
      having: requirement => model.service.having(requirement.replace(/\s+/g, '')),
      refresh: () => run(CommandIDs.refresh),
      create: () => run(CommandIDs.clone),
      open: name => navigation.go({ kind: 'environment', name, tab: 'packages' }),
      clone: name => run(CommandIDs.clone, { name }),
      install: name => run(CommandIDs.install, { name }),
      cancel: build => void model.cancel(build.id),
      menu
    };
    this.id = 'envpanel';
    this.addClass('jp-envpanel');
    this.title.icon = panelIcon;
    this.title.caption = this._trans.__('Environments');
    this.node.setAttribute('aria-label', this._trans.__('Environments'));
    this.node.tabIndex = -1;
    navigation.changed.connect(this._focus, this);
    document.addEventListener('visibilitychange', this._look);
  }

  override dispose(): void {
    this._options.navigation.changed.disconnect(this._focus, this);
    document.removeEventListener('visibilitychange', this._look);
    super.dispose();
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this._look();
  }

  protected override onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this._look();
  }

  protected override render(): React.JSX.Element {
    const { navigation, translator } = this._options;
    const locale = translator.languageCode.replace('_', '-');
    return (
      <ScreenProvider trans={this._trans} locale={locale}>
        <UseSignal signal={navigation.changed} initialArgs={navigation.page}>
          {(_, page) => (
            <div className="jp-envpanel-root" tabIndex={-1} onKeyDown={this._onKeyDown}>
              {this._page(page ?? navigation.page)}
            </div>
          )}
        </UseSignal>
      </ScreenProvider>
    );
  }

  private _page(page: Page): React.JSX.Element {
    const { model } = this._options;
    const desk = this._desk;
    switch (page.kind) {
      case 'environment':
        return (
          <EnvironmentView desk={desk} name={page.name} tab={page.tab} revision={page.revision} from={page.from} />
        );
      case 'clone':
        return <CloneView desk={desk} page={page} />;
      case 'install':
        return <InstallView desk={desk} page={page} />;
      case 'proposal':
        return <ProposalView desk={desk} page={page} />;
      case 'list':
        if (page.current) {
          this._memory.current = page.current;
        }
        return (
          <UseSignal signal={model.stateChanged}>
            {() => (
              <List
                environments={model.environments}
                kernels={model.kernels}
                builds={model.builds}
                isOnline={model.isOnline}
                error={model.error}
                memory={this._memory}
                actions={this._rowActions}
              />
            )}
          </UseSignal>
        );
    }
  }

  /** Escape leads back, as it closes dialogs elsewhere. */
  private readonly _onKeyDown = (event: React.KeyboardEvent): void => {
    if (event.key === 'Escape' && this._options.navigation.page.kind !== 'list') {
      this._options.navigation.back();
    }
  };

  /** Keys go on where the page has changed: what had them may be gone with the page before. */
  private _focus(): void {
    const { activeElement, body } = document;
    if (!this.isVisible || (activeElement !== body && !this.node.contains(activeElement))) {
      return;
    }
    // Once the new page is drawn.
    const place = (): void => {
      if (!this.node.contains(document.activeElement)) {
        const titles = '.jp-envpanel-about-name, .jp-envpanel-form-title, .jp-envpanel-root';
        [...this.node.querySelectorAll<HTMLElement>(titles)].at(-1)?.focus();
      }
    };
    requestAnimationFrame(() => requestAnimationFrame(place));
  }

  private _menu(name: string, place: DOMRect): void {
    const menu = new Menu({ commands: this._options.commands });
    for (const command of MENU) {
      menu.addItem(command ? { command, args: { name } } : { type: 'separator' });
    }
    menu.open(place.left, place.bottom);
  }

  private readonly _look = (): void => {
    this._options.model.isSeen = this.isVisible && !document.hidden;
  };
}
