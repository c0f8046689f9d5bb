/** What the parts of the panel ask of each other. */

import { Token } from '@lumino/coreutils';
import { ISignal } from '@lumino/signaling';
import {
  About,
  Attempt,
  Build,
  BuildProgressed,
  Comparison,
  Environment,
  EnvironmentChanged,
  EnvironmentDetail,
  History,
  Intent,
  KernelView,
  Outcome,
  PackageInfo,
  Record_,
  Search
} from './types';

export type FileKind = 'yaml' | 'lock' | 'log' | 'commands';

/** What the server tells by itself. */
export type Notice = { kind: 'changed'; value: EnvironmentChanged } | { kind: 'progressed'; value: BuildProgressed };

/** How the server took a change: it is done, or it goes on as a build. */
export type Taken = { outcome: Outcome; build: null } | { outcome: null; build: Build };

/**
 * The environments of the server's project.
 *
 * Every method is rejected with a `RequestError` where the server says no, and with `Offline` where it does not answer.
 */
export interface IEnvironments {
  /** What the server tells by itself, while it can be heard. */
  readonly notices: ISignal<unknown, Notice>;

  about(): Promise<About>;
  list(options?: { archived?: boolean }): Promise<Environment[]>;
  /** Which environments have a package, such as `numpy` or `numpy<2`: its version by the name of the environment. */
  having(requirement: string): Promise<Record<string, string>>;
  detail(name: string): Promise<EnvironmentDetail>;
  history(name: string, options?: { before?: number; limit?: number; package?: string }): Promise<History>;
  revision(name: string, number: number): Promise<Record_>;
  diff(name: string, options: { from?: number; to?: number; other?: string }): Promise<Comparison>;
  file(name: string, number: number, kind: FileKind): Promise<string>;

  change(name: string, intent: Intent, message?: string): Promise<Taken>;
  /** Resolve and tell what would happen; the result of the build is a `Preview`. */
  preview(name: string, intent: Intent): Promise<Build>;
  /** Apply the plan of a preview, exactly. */
  apply(name: string, plan: string, message: string): Promise<Taken>;

  attempts(name: string): Promise<Attempt[]>;
  attemptLog(name: string, id: string): Promise<string>;
  builds(): Promise<Build[]>;
  build(id: string, lines?: number): Promise<Build>;
  /** Build what the head needs on the server's machine. */
  prepare(name: string): Promise<Build>;
  cancel(id: string): Promise<Build>;

  search(query: string): Promise<Search>;
  package(name: string, python: string): Promise<PackageInfo>;
  kernels(): Promise<KernelView[]>;
  stay(kernel: string, stay: boolean): Promise<KernelView>;
}

/** For other extensions: the environments, as the panel has them. */
export const IEnvironments = new Token<IEnvironments>(
  'envpanel:IEnvironments',
  "The project's Python environments, and their history."
);
