/** A change from its preview to its revision: what was confirmed is what is applied. */

import { ISignal, Signal } from '@lumino/signaling';
import { BuildFailed, codeOf, PanelModel } from './model';
import { Build, Diff, Intent, Outcome, Preview } from './types';

export type ProposalState = 'resolving' | 'ready' | 'applying' | 'done' | 'failed';

export class Proposal {
  readonly stateChanged: ISignal<this, void>;
  private readonly _stateChanged = new Signal<this, void>(this);
  private _state: ProposalState = 'resolving';
  private _build: Build | null = null;
  private _preview: Preview | null = null;
  private _outcome: Outcome | null = null;
  private _error: Error | null = null;
  private _moved: Error | null = null;
  private _isGivenUp = false;

  constructor(
    readonly panel: PanelModel,
    readonly name: string,
    readonly intent: Intent
  ) {
    this.stateChanged = this._stateChanged;
  }

  get state(): ProposalState {
    return this._state;
  }

  /** What runs for it now, as the panel knows it. */
  get build(): Build | null {
    const id = this._build?.id;
    return this.panel.builds.find(build => build.id === id) ?? this._build;
  }

  get preview(): Preview | null {
    return this._preview;
  }

  get outcome(): Outcome | null {
    return this._outcome;
  }

  get error(): Error | null {
    return this._error;
  }

  /** A colleague's change that came first: it was previewed again since. */
  get moved(): Error | null {
    return this._moved;
  }

  /** What came in between. */
  get between(): Diff | null {
    const details =
      this._moved instanceof BuildFailed
        ? this._moved.build.failure?.details
        : (this._moved as { details?: Record<string, unknown> | null } | null)?.details;
    return (details?.diff as Diff | undefined) ?? null;
  }

  /** Find out what would happen. Never rejected: `error` tells. */
  async resolve(): Promise<void> {
    this._to('resolving', { error: null });
    try {
      this._build = await this.panel.service.preview(this.name, this.intent);
      this._stateChanged.emit();
      const build = await this.panel.finish(this._build);
      if (build.state !== 'succeeded') {
        throw new BuildFailed(build);
      }
      this._preview = build.result as Preview;
      this._to('ready');
    } catch (error) {
      this._to('failed', { error: error as Error });
    }
  }

  /** Make the revision of this very plan. Never rejected: `error` tells. */
  async apply(message: string): Promise<void> {
    if (this._state !== 'ready' || !this._preview) {
      return;
    }
    this._to('applying', { error: null });
    try {
      const taken = await this.panel.service.apply(this.name, this._preview.id, message);
      this._build = taken.build;
      this._stateChanged.emit();
      this._outcome = await this.panel.follow(taken);
      this._to('done');
    } catch (error) {
      if (codeOf(error as Error) === 'head-moved') {
        this._moved = error as Error;
        await this.resolve();
      } else {
        this._to('failed', { error: error as Error });
      }
    }
  }

  /** Nobody waits any more: what is only looked up is ended, what is applied goes on. */
  leave(): void {
    this._isGivenUp = true;
    if (this._state === 'resolving' && this._build) {
      void this.panel.cancel(this._build.id).catch(() => undefined);
    }
    Signal.clearData(this);
  }

  private _to(state: ProposalState, { error }: { error?: Error | null } = {}): void {
    if (this._isGivenUp) {
      return;
    }
    this._state = state;
    if (error !== undefined) {
      this._error = error;
    }
    this._stateChanged.emit();
  }
}
