/** Where in the panel somebody is. */

import { ISignal, Signal } from '@lumino/signaling';
import { Intent } from './types';

export type Tab = 'packages' | 'history' | 'activity';

export type Page =
  | { kind: 'list'; current?: string }
  | { kind: 'environment'; name: string; tab: Tab; revision?: number; from?: number }
  | { kind: 'clone'; source: string | null; revision?: number }
  | { kind: 'install'; name: string; requirements?: readonly string[] }
  | { kind: 'proposal'; name: string; intent: Intent };

export class Navigation {
  readonly changed: ISignal<this, Page>;
  private readonly _changed = new Signal<this, Page>(this);
  private _page: Page = { kind: 'list' };
  private _trail: Page[] = [];

  constructor() {
    this.changed = this._changed;
  }

  get page(): Page {
    return this._page;
  }

  go(page: Page): void {
    if (JSON.stringify(page) === JSON.stringify(this._page)) {
      return;
    }
    // A tab is no step: back leads to where the environment was opened from.
    const isTab = isOf(page, this._page);
    if (page.kind === 'list') {
      this._trail = [];
    } else if (!isTab) {
      this._trail.push(this._page);
    }
    this._set(page);
  }

  /** The same page, put otherwise: back leads to where it led. */
  replace(page: Page): void {
    this._set(page);
  }

  /** Go on from forms that are done with: back leads to where the first of them was opened from. */
  finish(page: Page): void {
    while (this._trail.length > 0 && (isForm(this._trail.at(-1)) || isOf(page, this._trail.at(-1)))) {
      this._trail.pop();
    }
    this._set(page);
  }

  back(): void {
    this._set(this._trail.pop() ?? { kind: 'list' });
  }

  private _set(page: Page): void {
    this._page = page;
    this._changed.emit(page);
  }
}

function isForm(page: Page | undefined): boolean {
  return page?.kind === 'install' || page?.kind === 'proposal' || page?.kind === 'clone';
}

function isOf(a: Page, b: Page | undefined): boolean {
  return b !== undefined && a.kind === 'environment' && b.kind === 'environment' && a.name === b.name;
}
