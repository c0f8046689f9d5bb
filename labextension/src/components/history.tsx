/** The history of an environment, newest first: any line opens to what was different, right there. */

import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { done } from '../format';
import { HistoryEntry } from '../types';
import { useTrans } from './context';
import { Counts } from './counts';
import { SearchBox } from './list';
import { Empty, Loading } from './message';
import { Ago, By } from './text';
import { Virtual } from './virtual';

export interface HistoryProps {
  length: number;
  head: number;
  filter: string;
  isFiltering: boolean;
  /** The revision that was asked to be seen. */
  reveal: number | undefined;
  entry(index: number): HistoryEntry | undefined;
  number(index: number): number;
  onSight(first: number, last: number): void;
  onFilter(name: string): void;
  details(entry: HistoryEntry): React.ReactNode;
}

const HEIGHT = 50;

export function HistoryList(props: HistoryProps): React.JSX.Element {
  const trans = useTrans();
  const { length, reveal } = props;
  const [query, setQuery] = React.useState(props.filter);
  const [opened, setOpened] = React.useState<ReadonlySet<number>>(new Set(reveal === undefined ? [] : [reveal]));

  React.useEffect(() => {
    if (reveal !== undefined) {
      setOpened(known => new Set(known).add(reveal));
    }
  }, [reveal]);

  React.useEffect(() => {
    // What is being typed is not asked letter by letter.
    const timer = window.setTimeout(() => query !== props.filter && props.onFilter(query), 250);
    return () => window.clearTimeout(timer);
  }, [query]);

  const toggle = (number: number) => {
    const next = new Set(opened);
    if (!next.delete(number)) {
      next.add(number);
    }
    setOpened(next);
  };

  const onKeyDown = (event: React.KeyboardEvent) => {
    const target = event.target as HTMLElement;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && target.matches('.jp-envpanel-revision-head')) {
      const heads = [...event.currentTarget.querySelectorAll<HTMLElement>('.jp-envpanel-revision-head')];
      // Lines are in the order in which they are shown.
      heads[heads.indexOf(target) + step]?.focus();
      event.preventDefault();
    }
  };

  const indexOf = (number: number): number => {
    if (!props.filter) {
      return props.head - number;
    }
    for (let index = 0; index < length; index++) {
      if (props.number(index) === number) {
        return index;
      }
    }
    return length;
  };
  return (
    <>
      <div className="jp-envpanel-tools">
        <SearchBox query={query} onChange={setQuery} label={trans.__('Only what changed a package')} />
      </div>
      {props.isFiltering && <Loading />}
      {length === 0 && props.filter !== '' && !props.isFiltering && (
        <div className="jp-envpanel-body">
          <Empty title={trans.__('No revision changed a package named “%1”.', props.filter)} />
        </div>
      )}
      {length > 0 && (
        <div className="jp-envpanel-history" onKeyDown={onKeyDown}>
          <Virtual
            label={trans.__('History')}
            count={length}
            rowHeight={HEIGHT}
            keyOf={props.number}
            indexOf={indexOf}
            opened={opened}
            onSight={props.onSight}
            reveal={reveal}
            render={index => {
              const entry = props.entry(index);
              const number = props.number(index);
              return (
                <Revision
                  entry={entry}
                  number={number}
                  isHead={number === props.head}
                  isOpen={opened.has(number)}
                  onToggle={() => toggle(number)}
                  details={props.details}
                />
              );
            }}
          />
        </div>
      )}
    </>
  );
}

function Revision(props: {
  entry: HistoryEntry | undefined;
  number: number;
  isHead: boolean;
  isOpen: boolean;
  onToggle(): void;
  details(entry: HistoryEntry): React.ReactNode;
}): React.JSX.Element {
  const trans = useTrans();
  const { entry, number, isOpen } = props;
  const Icon = isOpen ? caretDownIcon : caretRightIcon;
  return (
    <div className={`jp-envpanel-revision${isOpen ? ' jp-mod-open' : ''}${props.isHead ? ' jp-mod-head' : ''}`}>
      <button
        type="button"
        className="jp-envpanel-revision-head"
        aria-expanded={isOpen}
        data-revision={number}
        onClick={props.onToggle}
      >
        <Icon.react tag="span" className="jp-envpanel-revision-caret" width="14px" height="14px" />
        <span className="jp-envpanel-revision-what">
          <span className="jp-envpanel-revision-number">r{number}</span>
          {entry ? <bdi className="jp-envpanel-revision-title">{done(entry, trans)}</bdi> : '…'}
          {entry && (
            <span className="jp-envpanel-revision-counts">
              {entry.commands && (
                <span title={trans.__('Commands ran')}>
                  <span aria-hidden="true">{'>_'}</span>
                  <span className="jp-envpanel-hidden">{trans.__('commands ran')}</span>
                </span>
              )}
              <Counts diff={entry.diff} />
            </span>
          )}
        </span>
        <span className="jp-envpanel-revision-by">
          {entry && (
            <>
              <By author={entry.author} />
              <span> · </span>
              <Ago time={entry.created} />
              {entry.message && (
                <span className="jp-envpanel-said">
                  {' · '}
                  <bdi>{entry.message}</bdi>
                </span>
              )}
            </>
          )}
        </span>
      </button>
      {isOpen && entry && <div className="jp-envpanel-revision-body">{props.details(entry)}</div>}
      {isOpen && !entry && <Loading />}
    </div>
  );
}
