/** One environment, as its page shows it: the record of its head, its history in pages, and what went wrong. */

import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';
import { PanelModel } from './model';
import { Offline } from './request';
import { Attempt, EnvironmentDetail, HistoryEntry, Record_ } from './types';

const PAGE = 100;

export class EnvironmentModel implements IDisposable {
  readonly stateChanged: ISignal<this, void>;
  private readonly _stateChanged = new Signal<this, void>(this);
  private _detail: EnvironmentDetail | null = null;
  private _attempts: Attempt[] | null = null;
  private _error: Error | null = null;
  // What is in a ledger never changes: what is known of a number stays known.
  private readonly _entries = new Map<number, HistoryEntry>();
  private readonly _records = new Map<number, Record_>();
  private readonly _asked = new Set<number>();
  private _filter = '';
  private _found: HistoryEntry[] | null = null;
  private _next: number | null = null;
  private _isDisposed = false;

  constructor(
    readonly panel: PanelModel,
    readonly name: string
  ) {
    this.stateChanged = this._stateChanged;
    panel.environmentChanged.connect(this._changed, this);
  }

  get detail(): EnvironmentDetail | null {
    return this._detail;
  }

  /** Changes that ended badly, newest first; null until they are known. */
  get attempts(): readonly Attempt[] | null {
    return this._attempts;
  }

  get error(): Error | null {
    return this._error;
  }

  /** The name of a package that the history is about, or an empty string. */
  get filter(): string {
    return this._filter;
  }

  /** So many lines has the history, as far as is known. */
  get length(): number {
    return this._filter ? (this._found?.length ?? 0) : (this._detail?.environment.head ?? 0);
  }

  get isFiltering(): boolean {
    return this._filter !== '' && this._found === null;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** The line at an index from the newest, if it is here. */
  entry(index: number): HistoryEntry | undefined {
    return this._filter ? this._found?.[index] : this._entries.get(this.length - index);
  }

  /** The number of a line, which is known before the line is. */
  number(index: number): number {
    return this._filter ? (this._found?.[index]?.number ?? 0) : this.length - index;
  }

  known(number: number): Record_ | undefined {
    return this._records.get(number);
  }

  async load(): Promise<void> {
    await this._try(async () => {
      this._detail = await this.panel.service.detail(this.name);
      this._records.set(this._detail.head.number, this._detail.head);
    });
    // Who brought a package is told beside it.
    void this.need(0, 0);
  }

  async loadAttempts(): Promise<void> {
    await this._try(async () => {
      this._attempts = await this.panel.service.attempts(this.name);
    });
  }

  /** Have the lines from one index to another here. */
  async need(first: number, last: number): Promise<void> {
    if (this._filter) {
      if (this._next !== null && last >= this.length - 1) {
        await this._more();
      }
      return;
    }
    const pages = new Set<number>();
    for (let index = Math.max(first, 0); index <= Math.min(last, this.length - 1); index++) {
      const number = this.length - index;
      if (!this._entries.has(number)) {
        pages.add(Math.ceil(number / PAGE) * PAGE);
      }
    }
    await Promise.all([...pages].map(end => this._page(end)));
  }

  /** Only what changed a package; an empty name shows all. */
  async setFilter(name: string): Promise<void> {
    this._filter = name.trim();
    this._found = null;
    this._next = null;
    this._stateChanged.emit();
    if (this._filter) {
      await this._more();
    }
  }

  async record(number: number): Promise<Record_ | undefined> {
    if (!this._records.has(number)) {
      await this._try(async () => {
        this._records.set(number, await this.panel.service.revision(this.name, number));
      });
    }
    return this._records.get(number);
  }

  dispose(): void {
    this._isDisposed = true;
    this.panel.environmentChanged.disconnect(this._changed, this);
    Signal.clearData(this);
  }

  private _changed(_: unknown, name: string): void {
    if (name === this.name) {
      void this.load();
      void this.loadAttempts();
      if (this._filter) {
        void this.setFilter(this._filter);
      }
    }
  }

  private async _page(end: number): Promise<void> {
    if (this._asked.has(end)) {
      return;
    }
    this._asked.add(end);
    try {
      await this._try(async () => {
        const page = await this.panel.service.history(this.name, { before: end + 1, limit: PAGE });
        page.revisions.forEach(entry => this._entries.set(entry.number, entry));
      });
    } finally {
      this._asked.delete(end);
    }
  }

  private async _more(): Promise<void> {
    const filter = this._filter;
    await this._try(async () => {
      const before = this._next ?? undefined;
      const page = await this.panel.service.history(this.name, { package: filter, before, limit: PAGE });
      if (filter === this._filter) {
        const known = new Set(this._found?.map(entry => entry.number));
        this._found = [...(this._found ?? []), ...page.revisions.filter(entry => !known.has(entry.number))];
        this._next = page.next;
      }
    });
  }

  private async _try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this._error = null;
    } catch (error) {
      if (error instanceof Offline) {
        this.panel.lost();
      } else {
        this._error = error as Error;
      }
    }
    if (!this._isDisposed) {
      this._stateChanged.emit();
    }
  }
}
