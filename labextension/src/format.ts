/** How things are written on screens. */

import { TranslationBundle } from '@jupyterlab/translation';
import { Build, Diff, Group, HistoryEntry, Moved, Present, Progress, State } from './types';

export const GROUPS: readonly Group[] = ['feature-engineering', 'model-training', 'model-inference'];

const NAME = /^[a-z][a-z0-9_-]{0,63}$/;

export function groupTitle(group: Group, trans: TranslationBundle): string {
  switch (group) {
    case 'feature-engineering':
      return trans.__('FEATURE ENGINEERING');
    case 'model-training':
      return trans.__('MODEL TRAINING');
    case 'model-inference':
      return trans.__('MODEL INFERENCE');
  }
}

/** Where environments of a group are used. */
export function usedFor(group: Group, description: string, trans: TranslationBundle): string {
  if (group === 'model-inference') {
    return trans.__('notebook, deployment');
  }
  return /spark/i.test(description) ? trans.__('notebook, job, PySpark job') : trans.__('notebook, job');
}

export function stateText(state: State, trans: TranslationBundle): string {
  switch (state) {
    case 'ready':
      return trans.__('ready');
    case 'not-built':
      return trans.__('not built here yet');
    case 'building':
      return trans.__('Syncing packages');
    case 'damaged':
      return trans.__('damaged');
    case 'archived':
      return trans.__('archived');
  }
}

/** What is wrong with a name, or null. */
export function nameProblem(name: string, taken: readonly string[], trans: TranslationBundle): string | null {
  if (name === '') {
    return trans.__('A name is needed.');
  }
  if (!NAME.test(name)) {
    if (/^[^a-z]/.test(name)) {
      return trans.__('It must begin with a lower-case letter.');
    }
    if (name.length > 64) {
      return trans.__('It has %1 characters, and may have 64.', name.length);
    }
    return trans.__('Only a-z, 0-9, “-” and “_” can be in it.');
  }
  if (taken.includes(name)) {
    return trans.__('There is an environment of this name already.');
  }
  return null;
}

/** A name that an environment may have, made of what was typed. */
export function suggestName(text: string): string {
  const plain = text
    .toLowerCase()
    .replace(/[^a-z0-9_-]+/g, '-')
    .replace(/-{2,}/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, 64)
    .replace(/[-_]+$/, '');
  return NAME.test(plain) ? plain : '';
}

const STEPS: readonly [number, Intl.RelativeTimeFormatUnit][] = [
  [60, 'second'],
  [60, 'minute'],
  [24, 'hour'],
  [7, 'day'],
  [4.35, 'week'],
  [12, 'month'],
  [Infinity, 'year']
];

const FORMATS = new Map<string | undefined, Intl.RelativeTimeFormat>();

function relative(locale: string | undefined): Intl.RelativeTimeFormat {
  const known = FORMATS.get(locale);
  const format = known ?? new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'short' });
  FORMATS.set(locale, format);
  return format;
}

/** "2 hours ago", as the reader's language has it. */
export function ago(time: string, now: number, locale?: string): string {
  let value = (new Date(time).getTime() - now) / 1000;
  if (Number.isNaN(value)) {
    return time;
  }
  // A clock that is a little ahead is no future.
  value = Math.min(value, 0);
  for (const [size, unit] of STEPS) {
    if (Math.abs(value) < size) {
      const format = relative(locale);
      return unit === 'second' && value > -45 ? format.format(0, 'second') : format.format(Math.round(value), unit);
    }
    value /= size;
  }
  return time;
}

export function exactly(time: string, locale?: string): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? time : date.toLocaleString(locale, { dateStyle: 'full', timeStyle: 'medium' });
}

export function duration(seconds: number, trans: TranslationBundle): string {
  if (seconds < 1) {
    return trans.__('%1 ms', Math.round(seconds * 1000));
  }
  if (seconds < 60) {
    return trans.__('%1 s', seconds < 10 ? seconds.toFixed(1) : Math.round(seconds));
  }
  return trans.__('%1 min %2 s', Math.floor(seconds / 60), Math.round(seconds % 60));
}

/** One count of a diff: its sign, how many, and the word. */
export interface Count {
  kind: 'installed' | 'uninstalled' | 'upgraded' | 'downgraded' | 'changed';
  sign: string;
  count: number;
}

export function counts(diff: Diff): Count[] {
  const all: Count[] = [
    { kind: 'installed', sign: '+', count: diff.installed.length },
    { kind: 'uninstalled', sign: '−', count: diff.uninstalled.length },
    { kind: 'upgraded', sign: '↑', count: diff.upgraded.length },
    { kind: 'downgraded', sign: '↓', count: diff.downgraded.length },
    { kind: 'changed', sign: '~', count: diff.changed.length }
  ];
  return all.filter(item => item.count > 0);
}

export function countsText(diff: Diff): string {
  return counts(diff)
    .map(item => `${item.sign}${item.count}`)
    .join(' ');
}

export function isEmpty(diff: Diff): boolean {
  return counts(diff).length === 0 && diff.python === null;
}

/** What was done, in a few words: the packages that were asked for say most. */
export function done(entry: HistoryEntry, trans: TranslationBundle): string {
  const { diff, operation } = entry;
  if (operation === 'restore' && typeof entry.arguments.revision === 'number') {
    return trans.__('restore r%1', entry.arguments.revision);
  }
  const asked = (items: readonly (Present | Moved)[]) => items.filter(item => item.requested).map(item => item.name);
  const names =
    operation === 'uninstall'
      ? asked(diff.uninstalled)
      : operation === 'install' || operation === 'upgrade'
        ? [...asked(diff.installed), ...asked(diff.upgraded), ...asked(diff.downgraded)]
        : [];
  const shown = names.slice(0, 3).join(', ') + (names.length > 3 ? ` … ${names.length}` : '');
  return [operationText(operation, trans), shown].filter(Boolean).join(' ');
}

export function operationText(operation: string, trans: TranslationBundle): string {
  const words: Record<string, string> = {
    create: trans.__('create'),
    clone: trans.__('clone'),
    install: trans.__('install'),
    uninstall: trans.__('uninstall'),
    upgrade: trans.__('upgrade'),
    restore: trans.__('restore'),
    rebase: trans.__('rebase'),
    describe: trans.__('describe'),
    archive: trans.__('archive'),
    unarchive: trans.__('unarchive'),
    build: trans.__('build'),
    apply: trans.__('apply a plan'),
    verify: trans.__('verify'),
    publish: trans.__('publish')
  };
  return words[operation] ?? operation;
}

/** How much is to be downloaded: megabytes, as screens of packages count them. */
export function megabytes(bytes: number): string {
  const value = bytes / 2 ** 20;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} MiB`;
}

/** A sentence for people about how far a build is. */
export function progressText(progress: Progress, trans: TranslationBundle): string {
  const phase = phaseText(progress.phase, trans);
  if (progress.total > 0) {
    const [done, total] = [progress.done, progress.total].map(value =>
      progress.unit === 'MiB' ? value.toFixed(1) : String(Math.round(value))
    );
    const unit = progress.unit === 'MiB' ? ' MiB' : '';
    return trans.__('%1 %2 of %3', phase, done, total + unit);
  }
  return phase;
}

export function phaseText(phase: string, trans: TranslationBundle): string {
  const words: Record<string, string> = {
    starting: trans.__('starting'),
    waiting: trans.__('waiting for another change'),
    resolving: trans.__('resolving'),
    downloading: trans.__('downloading'),
    installing: trans.__('installing'),
    compiling: trans.__('compiling'),
    verifying: trans.__('verifying'),
    committing: trans.__('writing the revision')
  };
  return words[phase] ?? phase;
}

/** 0 to 1, or null where it is not known. */
export function fraction(build: Build): number | null {
  const { done, total } = build.progress;
  return total > 0 ? Math.min(done / total, 1) : null;
}

// eslint-disable-next-line no-control-regex
const ANSI = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

/** A line of a log without what a terminal would do by it. */
export function plain(line: string): string {
  const text = line.replace(ANSI, '').replace(CONTROL, '');
  // A bar that is drawn over itself: what stood there last.
  return text.includes('\r') ? (text.split('\r').filter(Boolean).at(-1) ?? '') : text;
}

/** Lines of a requirements file, as they were pasted: options and comments are no packages. */
export function requirementsOf(text: string): { specs: string[]; ignored: string[] } {
  const specs: string[] = [];
  const ignored: string[] = [];
  for (const raw of text.replace(/\\\r?\n/g, ' ').split(/\r?\n/)) {
    const line = raw.replace(/(^|\s)#.*$/, '').trim();
    if (line === '') {
      continue;
    }
    if (line.startsWith('-')) {
      ignored.push(line);
    } else {
      // Hashes belong to a lock file; here the resolver chooses the files.
      specs.push(line.replace(/\s+--hash[= ]\S+/g, '').trim());
    }
  }
  return { specs, ignored };
}

/** The name in a specification: `numpy` of `numpy[extra]<2`. */
export function nameOf(spec: string): string {
  return (/^\s*([A-Za-z0-9][A-Za-z0-9._-]*)/.exec(spec)?.[1] ?? spec).toLowerCase().replace(/[-_.]+/g, '-');
}

const REQUIREMENT =
  /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\s*((===?|~=|!=|<=?|>=?)\s*[A-Za-z0-9.*+!-]+\s*(,\s*|$))*$/;

/** Whether a search may name a package, with versions or without. */
export function isRequirement(query: string): boolean {
  return query.trim().length > 1 && REQUIREMENT.test(query.trim());
}
