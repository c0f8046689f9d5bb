/** What an environment has: what was asked for, and behind a switch what that brought along. */

import { closeIcon, moveUpIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { Package } from '../types';
import { Button, IconButton } from './button';
import { useTrans } from './context';
import { SearchBox } from './list';
import { Empty } from './message';

export interface PackagesProps {
  packages: readonly Package[];
  isBase: boolean;
  head: number;
  /** Who made a revision, where that is known. */
  byWhom(revision: number): string | null;
  actions: {
    upgrade(name: string): void;
    remove(name: string): void;
    upgradeAll(): void;
    history(revision: number): void;
  };
}

export function Packages(props: PackagesProps): React.JSX.Element {
  const trans = useTrans();
  const [query, setQuery] = React.useState('');
  const [isAll, setAll] = React.useState(false);
  const words = query.toLowerCase().trim();
  const found = props.packages.filter(item => item.name.toLowerCase().includes(words));
  const asked = found.filter(item => item.requested);
  const pulled = found.filter(item => !item.requested);
  const shownPulled = isAll ? pulled : [];
  return (
    <>
      <div className="jp-envpanel-tools">
        <SearchBox query={query} onChange={setQuery} label={trans.__('Filter packages')} />
        <label className="jp-envpanel-check">
          <input type="checkbox" checked={isAll} onChange={event => setAll(event.currentTarget.checked)} />
          {trans._n('%1 dependency', '%1 dependencies', pulled.length)}
        </label>
        {!props.isBase && (
          <Button look="link" onClick={props.actions.upgradeAll}>
            {trans.__('Upgrade all')}
          </Button>
        )}
      </div>
      <div className="jp-envpanel-body">
        {asked.length > 0 && <PackageRows {...props} items={asked} title={trans.__('Asked for')} />}
        {shownPulled.length > 0 && <PackageRows {...props} items={shownPulled} title={trans.__('Dependencies')} />}
        {asked.length + shownPulled.length === 0 && (
          <Empty
            title={
              words
                ? trans.__('No package that was asked for has “%1” in its name.', query)
                : trans.__('No packages were asked for.')
            }
          >
            {pulled.length > 0 && (
              <Button onClick={() => setAll(true)}>
                {trans._n('Show %1 dependency', 'Show %1 dependencies', pulled.length)}
              </Button>
            )}
          </Empty>
        )}
      </div>
    </>
  );
}

function PackageRows(props: PackagesProps & { items: Package[]; title: string }): React.JSX.Element {
  const trans = useTrans();
  const { items, isBase, actions } = props;
  return (
    <section>
      <h3 className="jp-envpanel-subtitle">{props.title}</h3>
      <ul className="jp-envpanel-packages" aria-label={props.title}>
        {items.map(item => (
          <li key={item.name} className={item.requested ? 'jp-mod-requested' : ''}>
            <bdi className="jp-envpanel-package" title={item.name}>
              {item.name}
            </bdi>
            {(item.manager !== 'uv' || item.origin !== 'index') && (
              <span className="jp-envpanel-tag">{item.origin === 'index' ? item.manager : item.origin}</span>
            )}
            <span className="jp-envpanel-packages-version">
              {!isBase && <PackageActions item={item} actions={actions} />}
              <bdi className="jp-envpanel-versions" title={item.version}>
                {item.version}
              </bdi>
            </span>
            <Button
              look="link"
              className="jp-envpanel-since"
              title={sinceText(item.since, props.byWhom(item.since), trans)}
              onClick={() => actions.history(item.since)}
            >
              r{item.since}
            </Button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function PackageActions(props: { item: Package; actions: PackagesProps['actions'] }): React.JSX.Element {
  const trans = useTrans();
  const { name, requested } = props.item;
  return (
    <span className="jp-envpanel-packages-actions">
      <IconButton icon={moveUpIcon} label={trans.__('Upgrade %1', name)} onClick={() => props.actions.upgrade(name)} />
      {requested && (
        <IconButton
          icon={closeIcon}
          label={trans.__('Uninstall %1', name)}
          onClick={() => props.actions.remove(name)}
        />
      )}
    </span>
  );
}

function sinceText(revision: number, who: string | null, trans: ReturnType<typeof useTrans>): string {
  return who
    ? trans.__('This version came with r%1, by %2', revision, who)
    : trans.__('This version came with r%1', revision);
}
