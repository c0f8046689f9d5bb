/** One revision, opened: what it changed, why, on which request, its files, and what can be done with it. */

import * as React from 'react';
import { duration } from '../format';
import { requestText } from '../intents';
import { FileKind } from '../tokens';
import { Comparison, Environment, HistoryEntry, Record_, RevisionRef } from '../types';
import { Button } from './button';
import { Compare } from './compare';
import { useTrans } from './context';
import { DiffView } from './diff';
import { FileView } from './file';

export interface RevisionProps {
  name: string;
  entry: HistoryEntry;
  record: Record_ | undefined;
  /** The revision to compare it with at once. */
  from: number | undefined;
  isHead: boolean;
  isBase: boolean;
  environments: readonly Environment[];
  actions: RevisionActions;
}

export interface RevisionActions {
  /** Have the record here. */
  need(number: number): void;
  restore(number: number): void;
  clone(number: number): void;
  file(number: number, kind: FileKind): Promise<string>;
  compare(from: RevisionRef, to: RevisionRef): Promise<Comparison>;
  /** Both YAML files side by side, where there is room for them. */
  sideBySide(from: RevisionRef, to: RevisionRef): void;
}

const FILES: Record<FileKind, string> = {
  yaml: 'environment.yml',
  lock: 'pylock.toml',
  log: 'log.txt',
  commands: 'commands.sh'
};

type View = FileKind | 'compare' | null;

export function RevisionDetails(props: RevisionProps): React.JSX.Element {
  const trans = useTrans();
  const { name, entry, record, actions } = props;
  const [view, setView] = React.useState<View>(null);
  React.useEffect(() => actions.need(entry.number), [entry.number]);
  React.useEffect(() => {
    if (props.from !== undefined) {
      setView('compare');
    }
  }, [props.from]);
  const toggle = (next: View) => setView(view === next ? null : next);

  const file = (kind: FileKind, title: string) => (
    <Button look="link" aria-expanded={view === kind} onClick={() => toggle(kind)}>
      {title}
    </Button>
  );
  return (
    <>
      {entry.message && (
        <blockquote className="jp-envpanel-message">
          <bdi>{entry.message}</bdi>
        </blockquote>
      )}
      <DiffView
        diff={entry.diff}
        nothing={entry.parent === null ? trans.__('It began with these packages.') : undefined}
      />
      {record && <Facts record={record} />}
      <div className="jp-envpanel-buttons">
        {!props.isHead && !props.isBase && (
          <Button onClick={() => actions.restore(entry.number)}>{trans.__('Restore…')}</Button>
        )}
        <Button aria-expanded={view === 'compare'} onClick={() => toggle('compare')}>
          {trans.__('Compare…')}
        </Button>
        <Button onClick={() => actions.clone(entry.number)}>{trans.__('Clone…')}</Button>
        <span className="jp-envpanel-files">
          {file('yaml', trans.__('YAML'))}
          {file('lock', trans.__('Lock'))}
          {record?.digests.log && file('log', trans.__('Log'))}
          {entry.commands && file('commands', trans.__('Commands'))}
        </span>
      </div>
      {view === 'compare' && (
        <Compare
          key={props.from}
          name={name}
          revision={entry.number}
          parent={props.from ?? entry.parent}
          environments={props.environments}
          compare={actions.compare}
          sideBySide={actions.sideBySide}
        />
      )}
      {view !== null && view !== 'compare' && (
        <FileView
          key={view}
          name={`${name}-r${entry.number}-${FILES[view]}`}
          load={() => actions.file(entry.number, view)}
        />
      )}
    </>
  );
}

function Facts({ record }: { record: Record_ }): React.JSX.Element {
  const trans = useTrans();
  const request = requestText(record.operation, record.arguments);
  const via = {
    cli: trans.__('command line'),
    lab: 'JupyterLab',
    magic: trans.__('notebook'),
    widget: trans.__('notebook')
  };
  return (
    <dl className="jp-envpanel-facts">
      {request && (
        <>
          <dt>{trans.__('Request')}</dt>
          <dd>
            <bdi>
              {record.operation} {request}
            </bdi>
          </dd>
        </>
      )}
      <dt>{trans.__('Took')}</dt>
      <dd>{trans.__('%1, from %2', duration(record.duration, trans), via[record.via])}</dd>
    </dl>
  );
}
