/**
 * The wire: what the server's REST API and events say, in its own words and its own snake_case.
 *
 * `tests/ui/test_types_ts.py` holds this file against the server's description of itself.
 */

export type Group = 'feature-engineering' | 'model-inference' | 'model-training';
export type Kind = 'base' | 'custom';
export type State = 'archived' | 'building' | 'damaged' | 'not-built' | 'ready';
export type Via = 'cli' | 'lab' | 'magic' | 'widget';
export type Manager = 'conda' | 'uv';
export type Origin = 'commands' | 'conda' | 'git' | 'index' | 'sdist' | 'url' | 'wheel';
export type BuildState = 'cancelled' | 'failed' | 'running' | 'succeeded';
export type AttemptState = 'cancelled' | 'failed' | 'interrupted';

export interface About {
  version: string;
  home: string;
  platform: string;
  pythons: string[];
  python: string;
  user: string;
  verified: boolean;
}

export interface ErrorReply {
  message: string;
  code: string;
  path: string | null;
  hint: string | null;
  details: Record<string, unknown> | null;
}

export interface Author {
  username: string;
  name: string;
  verified: boolean;
}

export interface RevisionRef {
  name: string;
  revision: number;
}

export interface Environment {
  name: string;
  group: Group;
  kind: Kind;
  base: RevisionRef | null;
  description: string;
  head: number;
  author: Author;
  created: string;
  python: string;
  platform: string;
  packages: number;
  content_id: string;
  state: State;
  record_damaged: boolean;
}

export interface EnvironmentList {
  environments: Environment[];
  next: string | null;
  versions: Record<string, string> | null;
}

export interface EnvironmentDetail {
  environment: Environment;
  head: Record_;
}

/** The record of a revision; `Record` is TypeScript's own word. */
export interface Record_ {
  id: string;
  number: number;
  parent: number | null;
  environment: string;
  kind: Kind;
  group: Group;
  description: string;
  archived: boolean;
  base: RevisionRef | null;
  cloned_from: RevisionRef | null;
  restored_from: RevisionRef | null;
  author: Author;
  via: Via;
  created: string;
  operation: string;
  arguments: Record<string, unknown>;
  message: string;
  python: string;
  platform: string;
  requirements: string[];
  packages: Package[];
  diff: Diff;
  digests: Digests;
  content_id: string;
  salt: string | null;
  duration: number;
  format: number;
  previous: string | null;
  digest: string;
}

export interface Package {
  name: string;
  version: string;
  manager: Manager;
  origin: Origin;
  requested: boolean;
  since: number;
}

export interface Digests {
  lock: string;
  yaml: string;
  log: string | null;
  commands: string | null;
}

export interface Diff {
  installed: Present[];
  uninstalled: Present[];
  upgraded: Moved[];
  downgraded: Moved[];
  changed: Changed[];
  python: PythonChange | null;
}

export interface Present {
  name: string;
  version: string;
  requested: boolean;
}

export interface Moved {
  name: string;
  old: string;
  new: string;
  requested: boolean;
}

export interface Changed {
  name: string;
  version: string;
  old: Source;
  new: Source;
}

export interface Source {
  manager: string;
  origin: string;
}

export interface PythonChange {
  old: string;
  new: string;
}

export interface History {
  revisions: HistoryEntry[];
  next: number | null;
}

export interface HistoryEntry {
  number: number;
  parent: number | null;
  author: Author;
  created: string;
  operation: string;
  arguments: Record<string, unknown>;
  message: string;
  diff: Diff;
  commands: boolean;
}

export interface Comparison {
  old: RevisionRef;
  new: RevisionRef;
  diff: Diff;
}

export interface PlanWarning {
  code: string;
  package: string;
  message: string;
}

export interface Preview {
  plan: Diff;
  id: string;
  warnings: PlanWarning[];
  /** Bytes; null where an index does not tell. */
  download: number | null;
}

export interface Outcome {
  record: Record_;
  changed: boolean;
  warnings: PlanWarning[];
}

export interface Progress {
  phase: string;
  done: number;
  total: number;
  unit: string;
  detail: string;
}

export interface Failure {
  code: string;
  message: string;
  hint: string | null;
  details: Record<string, unknown> | null;
}

export interface Build {
  id: string;
  environment: string | null;
  operation: string;
  preview: boolean;
  author: Author;
  state: BuildState;
  progress: Progress;
  created: string;
  ended: string | null;
  elapsed: number;
  lines: number;
  log: string[];
  failure: Failure | null;
  result: unknown;
}

export interface BuildList {
  builds: Build[];
}

export interface Attempt {
  id: string;
  environment: string;
  head: number | null;
  author: Author;
  via: Via;
  created: string;
  operation: string;
  record: string;
  state: AttemptState;
  ended: string | null;
  arguments: Record<string, unknown>;
  message: string;
  code: string | null;
  reason: string;
  hint: string | null;
  log: string | null;
  format: number;
}

export interface AttemptList {
  attempts: Attempt[];
}

export interface Search {
  query: string;
  matches: Match[];
  complete: boolean;
  loading: string[];
  unreachable: string[];
  as_of: string | null;
  notes: string[];
}

export interface Match {
  name: string;
  how: 'exact' | 'part' | 'prefix' | 'similar';
  indexes: string[];
}

export interface PackageInfo {
  name: string;
  summary: string | null;
  python: string;
  newest: string | null;
  releases: Release[];
  unreachable: string[];
  notes: string[];
}

export interface Release {
  version: string;
  uploaded: string | null;
  yanked: boolean;
  yanked_reason: string | null;
  prerelease: boolean;
  requires_python: string | null;
  fits: 'no' | 'source' | 'wheel';
  index: string;
}

export interface Kernel {
  id: string;
  environment: string;
  revision: number;
  content_id: string;
  author: Author;
  started: string;
  host: string;
  pid: number;
  born: string;
  ready: string;
}

export interface KernelView {
  kernel: Kernel;
  behind: number | null;
  here: boolean;
  stay: boolean;
  notice: string | null;
}

export interface KernelList {
  kernels: KernelView[];
}

// What is asked

export interface CreateIntent {
  operation: 'create';
  group: Group;
  requirements?: string[];
  requirements_txt?: string | null;
  kind?: Kind;
  description?: string;
  python?: string | null;
  kernel?: boolean;
}

export interface CloneIntent {
  operation: 'clone';
  source: string;
  revision?: number | null;
  description?: string | null;
}

export interface InstallIntent {
  operation: 'install';
  requirements?: string[];
  requirements_txt?: string | null;
}

export interface UninstallIntent {
  operation: 'uninstall';
  packages: string[];
}

export interface UpgradeIntent {
  operation: 'upgrade';
  packages?: string[];
}

export interface RestoreIntent {
  operation: 'restore';
  revision: number;
}

export interface DescribeIntent {
  operation: 'describe';
  description: string;
}

export interface ArchiveIntent {
  operation: 'archive';
}

export interface UnarchiveIntent {
  operation: 'unarchive';
}

export type Intent =
  | CreateIntent
  | CloneIntent
  | InstallIntent
  | UninstallIntent
  | UpgradeIntent
  | RestoreIntent
  | DescribeIntent
  | ArchiveIntent
  | UnarchiveIntent;

export interface ChangeBody {
  change?: Intent | null;
  plan?: string | null;
  message?: string;
  via?: 'lab' | 'magic' | 'widget';
}

export interface BuildBody {
  environment: string;
  revision?: number | null;
}

export interface StayBody {
  stay: boolean;
}

// Events

export const CHANGED = 'https://envpanel.readthedocs.io/events/environment-changed/v1';
export const PROGRESSED = 'https://envpanel.readthedocs.io/events/build-progressed/v1';

export interface EnvironmentChanged {
  environment: string;
  revision: number;
  operation: string;
  author: string;
  created: string;
  archived: boolean;
}

export interface BuildProgressed {
  id: string;
  environment: string | null;
  operation: string;
  preview: boolean;
  state: BuildState;
  author: string;
  elapsed: number;
  phase: string;
  done: number;
  total: number;
  unit: string;
  detail: string;
}
