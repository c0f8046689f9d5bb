/** All environments, by what they are for. */

import { addIcon, caretDownIcon, caretRightIcon, refreshIcon, searchIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { GROUPS, groupTitle, isRequirement, nameOf } from '../format';
import { Build, Environment, Group, KernelView } from '../types';
import { Button, IconButton } from './button';
import { useTrans } from './context';
import { Connection, Empty, Loading, Problem } from './message';
import { NewRow, Row, RowActions } from './row';

export interface ListProps {
  environments: readonly Environment[] | null;
  kernels: readonly KernelView[];
  builds: readonly Build[];
  isOnline: boolean;
  error: Error | null;
  /** What was typed into the search, and the row that was left: kept while a page is looked at. */
  memory: ListMemory;
  actions: ListActions;
}

export interface ListMemory {
  query: string;
  current: string | null;
  closed: Set<Group>;
  scroll: number;
}

export interface ListActions extends RowActions {
  /** Which environments have a package, and at which version. */
  having(requirement: string): Promise<Record<string, string>>;
  refresh(): void;
  create(): void;
}

export function newListMemory(): ListMemory {
  return { query: '', current: null, closed: new Set(), scroll: 0 };
}

export function List(props: ListProps): React.JSX.Element {
  const trans = useTrans();
  const { environments, memory, actions } = props;
  const [query, setQuery] = React.useState(memory.query);
  const [current, setCurrent] = React.useState(memory.current);
  const [closed, setClosed] = React.useState(memory.closed);
  const body = React.useRef<HTMLDivElement>(null);
  Object.assign(memory, { query, current, closed });
  // What is in sight comes first, all else when there is time: hundreds of rows take longer than a click may.
  const [limit, setLimit] = React.useState(() => FIRST + Math.ceil(memory.scroll / ROW));
  React.useEffect(() => React.startTransition(() => setLimit(Infinity)), []);

  React.useLayoutEffect(() => {
    // Back where somebody was, with the row that was left under the keys.
    if (body.current) {
      body.current.scrollTop = memory.scroll;
      if (memory.current) {
        rowsOf(body.current)
          .find(row => row.dataset.name === memory.current)
          ?.focus({ preventScroll: true });
      }
    }
  }, []);

  const having = useHaving(query, environments, actions);
  const found = React.useMemo(() => filtered(environments ?? [], query, having ?? {}), [environments, query, having]);
  const running = new Map(
    props.builds.filter(build => build.state === 'running' && !build.preview).map(build => [build.environment, build])
  );
  const kernels = React.useMemo(() => byEnvironment(props.kernels), [props.kernels]);
  const first = found.find(item => item.name === current)?.name ?? found.find(item => !closed.has(item.group))?.name;
  const known = new Set(environments?.map(item => item.name));
  const fresh = [...running.values()].filter(
    build =>
      build.environment !== null && !known.has(build.environment) && ['clone', 'create'].includes(build.operation)
  );

  let drawn = 0;

  const toggle = (group: Group) => {
    const next = new Set(closed);
    if (!next.delete(group)) {
      next.add(group);
    }
    setClosed(next);
  };

  const onKeyDown = (event: React.KeyboardEvent) => {
    if (!body.current) {
      return;
    }
    const rows = rowsOf(body.current);
    const target = event.target as HTMLElement;
    const at = rows.findIndex(row => row.parentElement?.contains(target));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to !== undefined && !(target instanceof HTMLInputElement && event.key !== 'ArrowDown')) {
      event.preventDefault();
      if (to < 0) {
        event.currentTarget.querySelector('input')?.focus();
      } else {
        rows[Math.min(to, rows.length - 1)]?.focus();
      }
    }
  };

  return (
    <div className="jp-envpanel-page" onKeyDown={onKeyDown}>
      <header className="jp-envpanel-header">
        <h2 className="jp-envpanel-title">{trans.__('ENVIRONMENTS')}</h2>
        <IconButton icon={refreshIcon} label={trans.__('Refresh')} onClick={actions.refresh} />
        <IconButton icon={addIcon} label={trans.__('New environment')} onClick={actions.create} />
      </header>
      <Connection isOnline={props.isOnline} retry={actions.refresh} />
      <SearchBox query={query} onChange={setQuery} label={trans.__('Name, description or package')} />
      <div className="jp-envpanel-body" ref={body} onScroll={event => (memory.scroll = event.currentTarget.scrollTop)}>
        {props.error && <Problem error={props.error} retry={actions.refresh} />}
        {environments === null && !props.error && props.isOnline && (
          <Loading text={trans.__('Looking for environments…')} />
        )}
        {environments?.length === 0 && fresh.length === 0 && (
          <Empty title={trans.__('There are no environments yet.')}>
            <p>
              {trans.__(
                'envpanel has no bases for this platform. A first environment can be made from a command line: envpanel create NAME.'
              )}
            </p>
          </Empty>
        )}
        {environments !== null && environments.length > 0 && found.length === 0 && having !== null && (
          <Empty
            title={trans.__('No environment has “%1”: not in its name or description, and not as a package.', query)}
          >
            <Button onClick={() => setQuery('')}>{trans.__('Show all')}</Button>
          </Empty>
        )}
        {fresh.length > 0 && (
          <ul className="jp-envpanel-rows">
            {fresh.map(build => (
              <NewRow key={build.id} build={build} actions={actions} />
            ))}
          </ul>
        )}
        {GROUPS.map(group => {
          const items = found.filter(item => item.group === group);
          const shown = closed.has(group) ? [] : items.slice(0, Math.max(limit - drawn, 0));
          drawn += shown.length;
          return items.length === 0 ? null : (
            <Section
              key={group}
              title={groupTitle(group, trans)}
              count={items.length}
              isOpen={!closed.has(group)}
              onToggle={() => toggle(group)}
            >
              {shown.map(item => (
                <Row
                  key={item.name}
                  environment={item}
                  kernels={kernels.get(item.name) ?? NONE}
                  running={running.get(item.name)}
                  found={having?.[item.name] ? `${nameOf(query)} ${having[item.name]}` : undefined}
                  isCurrent={item.name === first}
                  actions={actions}
                  onFocus={() => setCurrent(item.name)}
                />
              ))}
            </Section>
          );
        })}
      </div>
    </div>
  );
}

export function SearchBox(props: { query: string; label: string; onChange(query: string): void }): React.JSX.Element {
  return (
    <div className="jp-envpanel-search">
      <searchIcon.react tag="span" className="jp-envpanel-search-icon" width="14px" height="14px" />
      <input
        type="search"
        className="jp-envpanel-input"
        value={props.query}
        placeholder={props.label}
        aria-label={props.label}
        spellCheck={false}
        onChange={event => props.onChange(event.currentTarget.value)}
        onKeyDown={event => {
          // First what was typed is taken back; then the page.
          if (event.key === 'Escape' && props.query) {
            event.stopPropagation();
            props.onChange('');
          }
        }}
      />
    </div>
  );
}

function Section(props: {
  title: string;
  count: number;
  isOpen: boolean;
  onToggle(): void;
  children: React.ReactNode;
}): React.JSX.Element {
  const Icon = props.isOpen ? caretDownIcon : caretRightIcon;
  return (
    <section className="jp-envpanel-section">
      <h3>
        <button
          type="button"
          className="jp-envpanel-section-title"
          aria-expanded={props.isOpen}
          onClick={props.onToggle}
        >
          <Icon.react tag="span" width="14px" height="14px" />
          <span>{props.title}</span>
          <span className="jp-envpanel-number">{props.count}</span>
        </button>
      </h3>
      {props.isOpen && (
        <ul className="jp-envpanel-rows" aria-label={props.title}>
          {props.children}
        </ul>
      )}
    </section>
  );
}

const NONE: readonly KernelView[] = [];
const FIRST = 40;
/** The least that a row is high. */
const ROW = 60;

function byEnvironment(kernels: readonly KernelView[]): Map<string, KernelView[]> {
  const found = new Map<string, KernelView[]>();
  for (const item of kernels) {
    const name = item.kernel.environment;
    found.set(name, [...(found.get(name) ?? []), item]);
  }
  return found;
}

/** Those that have every word in their name or description, or the package. */
export function filtered(
  environments: readonly Environment[],
  query: string,
  having: Record<string, string> = {}
): readonly Environment[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return words.length === 0
    ? environments
    : environments.filter(item => {
        const text = `${item.name} ${item.description}`.toLowerCase();
        return item.name in having || words.every(word => text.includes(word));
      });
}

/** Which environments have the package that a search may name; null until that is known. */
function useHaving(
  query: string,
  environments: readonly Environment[] | null,
  actions: ListActions
): Record<string, string> | null {
  const [told, setTold] = React.useState<{ query: string; having: Record<string, string> } | null>(null);
  React.useEffect(() => {
    if (!isRequirement(query)) {
      return;
    }
    let isHere = true;
    // What is being typed is not asked letter by letter.
    const timer = window.setTimeout(() => {
      actions.having(query).then(
        having => isHere && setTold({ query, having }),
        () => isHere && setTold({ query, having: {} })
      );
    }, 200);
    return () => {
      isHere = false;
      window.clearTimeout(timer);
    };
  }, [query, environments]);
  return !isRequirement(query) ? {} : told?.query === query ? told.having : null;
}

function rowsOf(element: Element): HTMLElement[] {
  return [...element.querySelectorAll<HTMLElement>('button.jp-envpanel-row-main')];
}
