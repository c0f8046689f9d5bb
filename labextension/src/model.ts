/** What the panel knows: environments, kernels, builds, and whether the server can be heard. No React here. */

import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';
import { Offline } from './request';
import { IEnvironments, Notice, Taken } from './tokens';
import { About, Build, BuildProgressed, Environment, Failure, KernelView, Outcome } from './types';

/** Milliseconds. Tests have shorter ones. */
export interface Times {
  /** Between two looks at everything, while somebody looks at the panel: kernels of colleagues tell nothing. */
  look: number;
  /** After which a running build that says nothing is asked. */
  silence: number;
  /** First and longest wait for a server that is away. */
  retry: number;
  longest: number;
  /** What comes within this time is one refresh. */
  gather: number;
}

const TIMES: Times = { look: 30_000, silence: 4_000, retry: 1_000, longest: 10_000, gather: 50 };

/** How something that was begun here has ended. */
export interface Ended {
  environment: string;
  operation: string;
  state: Build['state'];
  outcome: Outcome | null;
  failure: Failure | null;
}

export class PanelModel implements IDisposable {
  readonly stateChanged: ISignal<this, void>;
  /** An environment has another head, or another state. */
  readonly environmentChanged: ISignal<this, string>;
  /** Something that this user began is done, or is not. */
  readonly ended: ISignal<this, Ended>;

  private _about: About | null = null;
  private _environments: Environment[] | null = null;
  private _kernels: KernelView[] = [];
  private readonly _builds = new Map<string, Build>();
  private readonly _mine = new Set<string>();
  private readonly _expected = new Set<string>();
  private readonly _heard = new Map<string, number>();
  private readonly _waiting = new Map<string, ((build: Build) => void)[]>();
  private _error: Error | null = null;
  private _isOnline = true;
  private _isSeen = false;
  private _isDisposed = false;
  private _refreshing: Promise<void> | null = null;
  private _again = false;
  private _gathering: number | null = null;
  private _timer: number | null = null;
  private _wait: number;
  private _looked = 0;

  private readonly _stateChanged = new Signal<this, void>(this);
  private readonly _environmentChanged = new Signal<this, string>(this);
  private readonly _ended = new Signal<this, Ended>(this);
  private readonly _times: Times;

  constructor(
    readonly service: IEnvironments,
    times: Partial<Times> = {}
  ) {
    this._times = { ...TIMES, ...times };
    this._wait = this._times.retry;
    this.stateChanged = this._stateChanged;
    this.environmentChanged = this._environmentChanged;
    this.ended = this._ended;
    service.notices.connect(this._hear, this);
    document.addEventListener('visibilitychange', this._wake);
  }

  /** What the server is; null until it has said so. */
  get about(): About | null {
    return this._about;
  }

  /** All environments in the order of lists; null until they are known. */
  get environments(): readonly Environment[] | null {
    return this._environments;
  }

  get kernels(): readonly KernelView[] {
    return this._kernels;
  }

  /** Builds of the server, the newest first. */
  get builds(): readonly Build[] {
    return [...this._builds.values()].sort((a, b) => (a.created < b.created ? 1 : -1));
  }

  /** Why the environments could not be had, where the server has said so. */
  get error(): Error | null {
    return this._error;
  }

  get isOnline(): boolean {
    return this._isOnline;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Whether somebody can see the panel: only then is anything asked again and again. */
  get isSeen(): boolean {
    return this._isSeen;
  }

  set isSeen(value: boolean) {
    if (value !== this._isSeen) {
      this._isSeen = value;
      if (value) {
        void this.refresh();
      }
      this._schedule();
    }
  }

  environment(name: string): Environment | undefined {
    return this._environments?.find(item => item.name === name);
  }

  kernelsOf(name: string): readonly KernelView[] {
    return this._kernels.filter(item => item.kernel.environment === name);
  }

  /** What is done to an environment now; previews change nothing, and are not told. */
  running(name: string): Build | undefined {
    return this.builds.find(item => item.environment === name && item.state === 'running' && !item.preview);
  }

  /** Ask for everything again. Never rejected: what went wrong is in `error` and `isOnline`. */
  refresh(): Promise<void> {
    if (this._refreshing) {
      this._again = true;
      return this._refreshing;
    }
    this._refreshing = this._refresh().finally(() => {
      this._refreshing = null;
      if (this._again) {
        this._again = false;
        void this.refresh();
      }
    });
    return this._refreshing;
  }

  /** Ask again soon; what else happens meanwhile is in the same answer. */
  refreshSoon(): void {
    if (this._gathering === null && !this._isDisposed) {
      this._gathering = window.setTimeout(() => {
        this._gathering = null;
        void this.refresh();
      }, this._times.gather);
    }
  }

  /** Something else has found that the server does not answer. */
  lost(): void {
    if (this._isOnline) {
      this._isOnline = false;
      this._wait = this._times.retry;
      this._stateChanged.emit();
    }
    this._schedule();
  }

  /** Follow what the server has taken; the outcome once it is there. A build that fails is told as its failure. */
  async follow(taken: Taken): Promise<Outcome> {
    if (taken.outcome) {
      const { environment, operation } = taken.outcome.record;
      this._changed(environment);
      this._ended.emit({ environment, operation, state: 'succeeded', outcome: taken.outcome, failure: null });
      return taken.outcome;
    }
    this._mine.add(taken.build.id);
    const build = await this.finish(taken.build);
    if (build.state !== 'succeeded') {
      throw new BuildFailed(build);
    }
    return build.result as Outcome;
  }

  /** A build once it has ended. */
  finish(build: Build): Promise<Build> {
    if (build.state !== 'running') {
      this._put(build);
      return Promise.resolve(build);
    }
    const known = this._builds.get(build.id);
    if (known && known.state !== 'running') {
      return Promise.resolve(known);
    }
    if (!known) {
      this._put(build);
    }
    return new Promise(resolve => {
      this._waiting.set(build.id, [...(this._waiting.get(build.id) ?? []), resolve]);
      this._schedule();
    });
  }

  /** Have the end of a build told as one of this user's. */
  own(build: Build): void {
    this._mine.add(build.id);
    this._put(build);
  }

  /** What is built for an environment next was begun by this user: a clone has it built. */
  expect(name: string): void {
    this._expected.add(name);
  }

  /** A build with the end of its log, as it is now. */
  async look(id: string, lines: number): Promise<Build> {
    const build = await this._asked(() => this.service.build(id, lines));
    this._put(build);
    return build;
  }

  async cancel(id: string): Promise<void> {
    this._put(await this._asked(() => this.service.cancel(id)));
    this.refreshSoon();
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    document.removeEventListener('visibilitychange', this._wake);
    this.service.notices.disconnect(this._hear, this);
    for (const timer of [this._timer, this._gathering]) {
      if (timer !== null) {
        window.clearTimeout(timer);
      }
    }
    Signal.clearData(this);
  }

  private readonly _wake = (): void => {
    this._schedule();
  };

  private async _refresh(): Promise<void> {
    this._looked = Date.now();
    try {
      const [about, environments, kernels, builds] = await Promise.all([
        this._about ?? this.service.about(),
        this.service.list(),
        this.service.kernels(),
        this.service.builds()
      ]);
      if (this._isDisposed) {
        return;
      }
      const before = new Map(this._environments?.map(item => [item.name, item]));
      this._about = about;
      this._environments = same(this._environments, environments);
      this._kernels = same(this._kernels, kernels);
      this._merge(builds);
      this._error = null;
      this._isOnline = true;
      this._wait = this._times.retry;
      this._stateChanged.emit();
      for (const item of environments) {
        const old = before.get(item.name);
        if (old && (old.head !== item.head || old.state !== item.state)) {
          this._environmentChanged.emit(item.name);
        }
      }
    } catch (error) {
      if (this._isDisposed) {
        return;
      }
      if (error instanceof Offline) {
        this.lost();
        return;
      }
      this._error = error as Error;
      this._isOnline = true;
      this._stateChanged.emit();
    } finally {
      this._schedule();
    }
  }

  /** Another list of builds: those that have ended meanwhile are asked how. */
  private _merge(builds: Build[]): void {
    const listed = new Map(builds.map(build => [build.id, build]));
    for (const [id, known] of this._builds) {
      if (known.state === 'running' && !listed.has(id)) {
        // The server was started anew: with it went its builds.
        this._end({ ...known, state: 'cancelled', failure: GONE });
      }
    }
    for (const build of builds) {
      const known = this._builds.get(build.id);
      if (!known && build.state === 'running' && build.author.name === this._about?.user) {
        // Begun before a reload of the page.
        this._mine.add(build.id);
      }
      if (known?.state === 'running' && build.state !== 'running') {
        this._end(build);
      } else if (!known || known.state === 'running') {
        this._builds.set(build.id, { ...build, log: known?.log ?? [] });
      }
    }
  }

  private _hear(_: unknown, notice: Notice): void {
    if (this._isDisposed) {
      return;
    }
    if (notice.kind === 'changed') {
      this._changed(notice.value.environment);
    } else {
      this._progressed(notice.value);
    }
  }

  private _changed(name: string): void {
    this._environmentChanged.emit(name);
    this.refreshSoon();
  }

  private _progressed(told: BuildProgressed): void {
    const known = this._builds.get(told.id);
    if (known && known.state !== 'running') {
      return;
    }
    this._heard.set(told.id, Date.now());
    if (!known || told.state !== 'running') {
      // Its beginning and its end are told in full by the server only.
      void this.look(told.id, 0).catch(() => undefined);
      return;
    }
    const { phase, done, total, unit, detail, elapsed } = told;
    this._builds.set(told.id, { ...known, elapsed, progress: { phase, done, total, unit, detail } });
    this._stateChanged.emit();
  }

  private _put(build: Build): void {
    const known = this._builds.get(build.id);
    this._heard.set(build.id, Date.now());
    if (build.state !== 'running' && known?.state !== build.state) {
      this._end(build);
      this.refreshSoon();
    } else {
      this._builds.set(build.id, build);
    }
    this._stateChanged.emit();
  }

  private _end(build: Build): void {
    this._builds.set(build.id, build);
    const waiting = this._waiting.get(build.id) ?? [];
    this._waiting.delete(build.id);
    this._heard.delete(build.id);
    waiting.forEach(resolve => resolve(build));
    if (build.environment !== null && !build.preview) {
      this._environmentChanged.emit(build.environment);
    }
    const isExpected =
      build.environment !== null && build.operation === 'build' && this._expected.delete(build.environment);
    if ((this._mine.delete(build.id) || isExpected) && !build.preview) {
      const { environment, state, failure } = build;
      const outcome = isOutcome(build.result) ? build.result : null;
      // A plan is applied; what that was the record says.
      const operation = outcome?.record.operation ?? build.operation;
      this._ended.emit({ environment: environment ?? '', operation, state, outcome, failure });
    }
  }

  private async _asked<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof Offline) {
        this.lost();
      }
      throw error;
    }
  }

  /** One timer for all that is done again: it stands still while nobody can see the panel. */
  private _schedule(): void {
    if (this._timer !== null) {
      window.clearTimeout(this._timer);
      this._timer = null;
    }
    if (this._isDisposed || (!this._isSeen && this._waiting.size === 0) || document.hidden) {
      return;
    }
    const isRunning = [...this._builds.values()].some(build => build.state === 'running');
    const wait = !this._isOnline ? this._wait : isRunning ? this._times.silence : this._times.look;
    this._timer = window.setTimeout(() => void this._tick(), wait);
  }

  private async _tick(): Promise<void> {
    this._timer = null;
    if (!this._isOnline) {
      this._wait = Math.min(this._wait * 2, this._times.longest);
      await this.refresh();
      return;
    }
    const now = Date.now();
    const silent = [...this._builds.values()].filter(
      build => build.state === 'running' && now - (this._heard.get(build.id) ?? 0) >= this._times.silence
    );
    await Promise.all(silent.map(build => this._revive(build)));
    if (now - this._looked >= this._times.look) {
      await this.refresh();
    }
    this._schedule();
  }

  private async _revive(build: Build): Promise<void> {
    try {
      await this.look(build.id, 0);
    } catch (error) {
      if (!(error instanceof Offline)) {
        this._end({ ...build, state: 'cancelled', failure: GONE });
        this._stateChanged.emit();
      }
    }
  }
}

/** A build ended badly; the server's own sentence. */
export class BuildFailed extends Error {
  constructor(readonly build: Build) {
    super(build.failure?.message ?? 'It did not work.');
  }
}

/** The code of an error that ended a request or a build. */
export function codeOf(error: Error): string {
  return error instanceof BuildFailed ? (error.build.failure?.code ?? '') : ((error as { code?: string }).code ?? '');
}

const GONE = {
  code: 'gone',
  message: 'The server that was at it has ended. Nothing was changed.',
  hint: null,
  details: null
};

function isOutcome(value: unknown): value is Outcome {
  return typeof value === 'object' && value !== null && 'record' in value && 'changed' in value;
}

/** The old value where the new one says the same: what is shown does not flicker. */
function same<T>(old: T, value: T): T {
  return JSON.stringify(old) === JSON.stringify(value) ? old : value;
}
