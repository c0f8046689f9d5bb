/** The environments over REST, and what the server tells by Jupyter's events. */

import { Event, ServerConnection } from '@jupyterlab/services';
import { ISignal, Signal } from '@lumino/signaling';
import { Asked, request } from './request';
import { FileKind, IEnvironments, Notice, Taken } from './tokens';
import {
  About,
  Attempt,
  AttemptList,
  Build,
  BuildBody,
  BuildList,
  BuildProgressed,
  ChangeBody,
  CHANGED,
  Comparison,
  Environment,
  EnvironmentChanged,
  EnvironmentDetail,
  EnvironmentList,
  History,
  Intent,
  KernelList,
  KernelView,
  Outcome,
  PackageInfo,
  PROGRESSED,
  Record_,
  Search
} from './types';

export class RestEnvironments implements IEnvironments {
  private readonly _notices = new Signal<this, Notice>(this);

  constructor(
    private readonly _settings: ServerConnection.ISettings,
    events: ISignal<unknown, Event.Emission>
  ) {
    events.connect(this._hear, this);
  }

  get notices(): ISignal<this, Notice> {
    return this._notices;
  }

  about(): Promise<About> {
    return this._ask([]);
  }

  async list({ archived = false } = {}): Promise<Environment[]> {
    const found: Environment[] = [];
    let after: string | null = null;
    do {
      const page: EnvironmentList = await this._ask(['environments'], { query: { archived, after } });
      found.push(...page.environments);
      after = page.next;
    } while (after !== null);
    return found;
  }

  async having(requirement: string): Promise<Record<string, string>> {
    const page: EnvironmentList = await this._ask(['environments'], { query: { package: requirement } });
    return page.versions ?? {};
  }

  detail(name: string): Promise<EnvironmentDetail> {
    return this._ask(['environments', name]);
  }

  history(name: string, options: { before?: number; limit?: number; package?: string } = {}): Promise<History> {
    return this._ask(['environments', name, 'revisions'], { query: options });
  }

  revision(name: string, number: number): Promise<Record_> {
    return this._ask(['environments', name, 'revisions', number]);
  }

  diff(name: string, options: { from?: number; to?: number; other?: string }): Promise<Comparison> {
    return this._ask(['environments', name, 'diff'], { query: options });
  }

  async file(name: string, number: number, kind: FileKind): Promise<string> {
    return (await request(this._settings, ['environments', name, 'revisions', number, kind])).text;
  }

  change(name: string, intent: Intent, message = ''): Promise<Taken> {
    return this._change(name, { change: intent, message });
  }

  async preview(name: string, intent: Intent): Promise<Build> {
    const body: ChangeBody = { change: intent };
    return this._ask(['environments', name, 'changes'], { method: 'POST', query: { preview: 1 }, body });
  }

  apply(name: string, plan: string, message: string): Promise<Taken> {
    return this._change(name, { plan, message });
  }

  async attempts(name: string): Promise<Attempt[]> {
    return (await this._ask<AttemptList>(['environments', name, 'attempts'])).attempts;
  }

  async attemptLog(name: string, id: string): Promise<string> {
    return (await request(this._settings, ['environments', name, 'attempts', id, 'log'])).text;
  }

  async builds(): Promise<Build[]> {
    return (await this._ask<BuildList>(['builds'])).builds;
  }

  build(id: string, lines = 0): Promise<Build> {
    return this._ask(['builds', id], { query: { lines } });
  }

  prepare(name: string): Promise<Build> {
    const body: BuildBody = { environment: name };
    return this._ask(['builds'], { method: 'POST', body });
  }

  cancel(id: string): Promise<Build> {
    return this._ask(['builds', id], { method: 'DELETE' });
  }

  search(query: string): Promise<Search> {
    return this._ask(['packages'], { query: { query, limit: 20 } });
  }

  package(name: string, python: string): Promise<PackageInfo> {
    return this._ask(['packages', name], { query: { python } });
  }

  async kernels(): Promise<KernelView[]> {
    return (await this._ask<KernelList>(['kernels'])).kernels;
  }

  stay(kernel: string, stay: boolean): Promise<KernelView> {
    return this._ask(['kernels', kernel], { method: 'PATCH', body: { stay } });
  }

  private async _ask<T>(path: readonly (string | number)[], asked?: Asked): Promise<T> {
    return JSON.parse((await request(this._settings, path, asked)).text) as T;
  }

  private async _change(name: string, body: ChangeBody): Promise<Taken> {
    const { status, text } = await request(this._settings, ['environments', name, 'changes'], { method: 'POST', body });
    const value: unknown = JSON.parse(text);
    return status === 202 ? { outcome: null, build: value as Build } : { outcome: value as Outcome, build: null };
  }

  private _hear(_: unknown, { schema_id, ...rest }: Event.Emission): void {
    const value: unknown = rest;
    if (schema_id === CHANGED) {
      this._notices.emit({ kind: 'changed', value: value as EnvironmentChanged });
    } else if (schema_id === PROGRESSED) {
      this._notices.emit({ kind: 'progressed', value: value as BuildProgressed });
    }
  }
}
