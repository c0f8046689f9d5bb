/** A small project that keeps its environments in memory: the same interface as the one over REST. */

import { ISignal, Signal } from '@lumino/signaling';
import { Offline, RequestError } from '../src/request';
import { FileKind, IEnvironments, Notice, Taken } from '../src/tokens';
import {
  About,
  Attempt,
  Author,
  Build,
  BuildProgressed,
  Comparison,
  Diff,
  Environment,
  EnvironmentDetail,
  History,
  HistoryEntry,
  Intent,
  KernelView,
  Outcome,
  PackageInfo,
  Preview,
  Record_,
  Search
} from '../src/types';

export const NOTHING: Diff = {
  installed: [],
  uninstalled: [],
  upgraded: [],
  downgraded: [],
  changed: [],
  python: null
};

export const ANA: Author = { username: 'ana', name: 'Ana', verified: true };

export function environment(name: string, more: Partial<Environment> = {}): Environment {
  return {
    name,
    group: 'feature-engineering',
    kind: 'custom',
    base: null,
    description: '',
    head: 1,
    author: ANA,
    created: '2026-11-21T10:00:00.000Z',
    python: '3.11',
    platform: 'linux-x86_64',
    packages: 3,
    content_id: 'c',
    state: 'ready',
    record_damaged: false,
    ...more
  };
}

export function record(name: string, number: number, more: Partial<Record_> = {}): Record_ {
  return {
    id: `${name}-${number}`,
    number,
    parent: number > 1 ? number - 1 : null,
    environment: name,
    kind: 'custom',
    group: 'feature-engineering',
    description: '',
    archived: false,
    base: null,
    cloned_from: null,
    restored_from: null,
    author: ANA,
    via: 'lab',
    created: '2026-11-21T10:00:00.000Z',
    operation: 'install',
    arguments: {},
    message: '',
    python: '3.11',
    platform: 'linux-x86_64',
    requirements: [],
    packages: [],
    diff: NOTHING,
    digests: { lock: '', yaml: '', log: null, commands: null },
    content_id: 'c',
    salt: null,
    duration: 1,
    format: 1,
    previous: null,
    digest: '',
    ...more
  };
}

export function build(id: string, more: Partial<Build> = {}): Build {
  return {
    id,
    environment: 'churn',
    operation: 'install',
    preview: false,
    author: ANA,
    state: 'running',
    progress: { phase: 'installing', done: 1, total: 4, unit: 'packages', detail: '' },
    created: `2026-11-21T10:00:0${id.length}.000Z`,
    ended: null,
    elapsed: 1,
    lines: 0,
    log: [],
    failure: null,
    result: null,
    ...more
  };
}

export class FakeEnvironments implements IEnvironments {
  readonly notices: ISignal<this, Notice>;
  isAway = false;
  /** How often anything was asked. */
  asked = 0;
  environments: Environment[] = [environment('base', { kind: 'base' }), environment('churn')];
  running: Build[] = [];
  plan: Preview = { plan: NOTHING, id: 'f'.repeat(64), warnings: [], download: null };
  /** What applying a plan ends with, the next one first. */
  refusals: RequestError[] = [];
  private readonly _notices = new Signal<this, Notice>(this);

  constructor() {
    this.notices = this._notices;
  }

  /** A step of a build, as the server tells it by an event. */
  progress(told: Build): void {
    this.running = [told, ...this.running.filter(item => item.id !== told.id)];
    const { id, environment: name, operation, preview, state, elapsed, progress } = told;
    const value: BuildProgressed = {
      id,
      environment: name,
      operation,
      preview,
      state,
      author: told.author.name,
      elapsed,
      ...progress
    };
    this._notices.emit({ kind: 'progressed', value });
  }

  /** A commit of a colleague. */
  commit(name: string): void {
    this.environments = this.environments.map(item => (item.name === name ? { ...item, head: item.head + 1 } : item));
    const revision = this._find(name).head;
    this._notices.emit({
      kind: 'changed',
      value: { environment: name, revision, operation: 'install', author: 'Ben', created: '', archived: false }
    });
  }

  about(): Promise<About> {
    return this._answer({
      version: '0.1.0',
      home: '/home',
      platform: 'linux-x86_64',
      pythons: ['3.11'],
      python: '3.11',
      user: 'Ana',
      verified: true
    });
  }

  list(): Promise<Environment[]> {
    return this._answer(this.environments);
  }

  having(): Promise<Record<string, string>> {
    return this._answer({ churn: '2.0' });
  }

  async detail(name: string): Promise<EnvironmentDetail> {
    const item = this._find(name);
    return this._answer({ environment: item, head: record(name, item.head) });
  }

  history(name: string, { before = Infinity, limit = 50 } = {}): Promise<History> {
    const newest = Math.min(this._find(name).head, before - 1);
    const revisions: HistoryEntry[] = [];
    for (let number = newest; number > Math.max(newest - limit, 0); number--) {
      const { parent, author, created, operation, message, diff } = record(name, number);
      revisions.push({ number, parent, author, created, operation, arguments: {}, message, diff, commands: false });
    }
    const last = revisions.at(-1)?.number ?? 1;
    return this._answer({ revisions, next: last > 1 ? last : null });
  }

  revision(name: string, number: number): Promise<Record_> {
    return this._answer(record(name, number));
  }

  diff(name: string, { from = 1, to = 1, other = name } = {}): Promise<Comparison> {
    return this._answer({ old: { name, revision: from }, new: { name: other, revision: to }, diff: NOTHING });
  }

  file(name: string, number: number, kind: FileKind): Promise<string> {
    return this._answer(`${kind} of ${name} r${number}`);
  }

  change(name: string, intent: Intent): Promise<Taken> {
    return this._answer({ outcome: this._done(name, intent.operation), build: null });
  }

  preview(name: string, intent: Intent): Promise<Build> {
    const { operation } = intent;
    return this._answer(
      build('preview', { environment: name, operation, preview: true, state: 'succeeded', result: this.plan })
    );
  }

  apply(name: string): Promise<Taken> {
    const refusal = this.refusals.shift();
    return refusal ? Promise.reject(refusal) : this._answer({ outcome: this._done(name, 'install'), build: null });
  }

  attempts(): Promise<Attempt[]> {
    return this._answer([]);
  }

  attemptLog(): Promise<string> {
    return this._answer('');
  }

  builds(): Promise<Build[]> {
    return this._answer(this.running);
  }

  build(id: string): Promise<Build> {
    const found = this.running.find(item => item.id === id);
    return found ? this._answer(found) : Promise.reject(new RequestError(404, { message: 'No such build.' }));
  }

  prepare(name: string): Promise<Build> {
    return this._answer(build('prepared', { environment: name, operation: 'build' }));
  }

  cancel(id: string): Promise<Build> {
    return this._answer(build(id, { state: 'cancelled' }));
  }

  search(query: string): Promise<Search> {
    return this._answer({ query, matches: [], complete: true, loading: [], unreachable: [], as_of: null, notes: [] });
  }

  package(name: string, python: string): Promise<PackageInfo> {
    return this._answer({ name, summary: null, python, newest: null, releases: [], unreachable: [], notes: [] });
  }

  kernels(): Promise<KernelView[]> {
    return this._answer([]);
  }

  stay(): Promise<KernelView> {
    return Promise.reject(new RequestError(404, { message: 'No such kernel.' }));
  }

  private _find(name: string): Environment {
    const found = this.environments.find(item => item.name === name);
    if (!found) {
      throw new RequestError(404, { message: `There is no environment ${name}.`, code: 'not-found' });
    }
    return found;
  }

  private _done(name: string, operation: string): Outcome {
    this.environments = this.environments.map(item => (item.name === name ? { ...item, head: item.head + 1 } : item));
    return { record: record(name, this._find(name).head, { operation }), changed: true, warnings: [] };
  }

  private _answer<T>(value: T): Promise<T> {
    this.asked += 1;
    return this.isAway ? Promise.reject(new Offline()) : Promise.resolve(value);
  }
}
