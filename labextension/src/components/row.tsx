/** An environment in the list. Its height stays while its progress runs. */

import { addIcon, closeIcon, copyIcon, ellipsesIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { operationText, progressText, stateText } from '../format';
import { Build, Environment, KernelView } from '../types';
import { Badge } from './badge';
import { IconButton } from './button';
import { useTrans } from './context';
import { ProgressBar } from './progress';
import { Ago, By, Text } from './text';

/** What can be done from a row. */
export interface RowActions {
  open(name: string): void;
  clone(name: string): void;
  install(name: string): void;
  cancel(build: Build): void;
  menu(name: string, place: DOMRect): void;
}

export interface RowProps {
  environment: Environment;
  kernels: readonly KernelView[];
  running: Build | undefined;
  /** The package that was searched for, as it is here: `numpy 2.1.0`. */
  found: string | undefined;
  /** Whether Tab leads here. */
  isCurrent: boolean;
  actions: RowActions;
  onFocus(): void;
}

export const Row = React.memo(function Row(props: RowProps): React.JSX.Element {
  const trans = useTrans();
  const { environment, kernels, running, isCurrent, actions } = props;
  const { name, kind, description, state } = environment;
  const tabIndex = isCurrent ? 0 : -1;
  const isQuiet = kind === 'base';
  return (
    <li className={`jp-envpanel-row jp-mod-${kind}`} data-name={name} data-kind={kind}>
      <button
        type="button"
        className="jp-envpanel-row-main"
        tabIndex={tabIndex}
        data-name={name}
        onFocus={props.onFocus}
        onClick={() => actions.open(name)}
      >
        <span className="jp-envpanel-row-head">
          <Text className="jp-envpanel-name">{name}</Text>
          <Badge kind={kind} />
        </span>
        {description && <Text className="jp-envpanel-row-description">{description}</Text>}
        {running ? (
          <Syncing build={running} />
        ) : (
          <span className="jp-envpanel-row-facts">
            {props.found && (
              <strong className="jp-envpanel-found-here">
                <bdi>{props.found}</bdi>
              </strong>
            )}
            <span>{trans._n('%1 package', '%1 packages', environment.packages)}</span>
            <span>r{environment.head}</span>
            {!isQuiet && (
              <span>
                <By author={environment.author} />, <Ago time={environment.created} />
              </span>
            )}
            {state !== 'ready' && (
              <span className={`jp-envpanel-state jp-mod-${state}`}>{stateText(state, trans)}</span>
            )}
            {environment.record_damaged && (
              <span className="jp-envpanel-state jp-mod-damaged">{trans.__('newest record damaged')}</span>
            )}
          </span>
        )}
        {kernels.length > 0 && <Kernels kernels={kernels} />}
      </button>
      <span className="jp-envpanel-row-actions">
        {running ? (
          <IconButton
            icon={closeIcon}
            label={trans.__('Cancel %1 of %2', operationText(running.operation, trans), name)}
            tabIndex={tabIndex}
            onClick={() => actions.cancel(running)}
          />
        ) : isQuiet ? (
          <IconButton
            icon={copyIcon}
            label={trans.__('Clone %1', name)}
            tabIndex={tabIndex}
            onClick={() => actions.clone(name)}
          />
        ) : (
          <IconButton
            icon={addIcon}
            label={trans.__('Install into %1', name)}
            tabIndex={tabIndex}
            onClick={() => actions.install(name)}
          />
        )}
        <IconButton
          icon={ellipsesIcon}
          label={trans.__('More for %1', name)}
          tabIndex={tabIndex}
          aria-haspopup="menu"
          onClick={event => actions.menu(name, event.currentTarget.getBoundingClientRect())}
        />
      </span>
      {running && <ProgressBar build={running} label={trans.__('%1: %2', name, syncing(running, trans))} />}
    </li>
  );
});

/** A new environment that is not in the history yet. */
export function NewRow({ build, actions }: { build: Build; actions: RowActions }): React.JSX.Element {
  const trans = useTrans();
  const name = build.environment ?? '';
  return (
    <li className="jp-envpanel-row jp-mod-custom" data-name={name}>
      <span className="jp-envpanel-row-main">
        <span className="jp-envpanel-row-head">
          <Text className="jp-envpanel-name">{name}</Text>
          <Badge kind="custom" />
        </span>
        <Syncing build={build} />
      </span>
      <span className="jp-envpanel-row-actions">
        <IconButton
          icon={closeIcon}
          label={trans.__('Cancel the new %1', name)}
          onClick={() => actions.cancel(build)}
        />
      </span>
      <ProgressBar build={build} label={trans.__('%1: %2', name, syncing(build, trans))} />
    </li>
  );
}

function Syncing({ build }: { build: Build }): React.JSX.Element {
  const trans = useTrans();
  return (
    <span className="jp-envpanel-row-facts">
      <span className="jp-envpanel-state jp-mod-building">{syncing(build, trans)}</span>
      <span>{progressText(build.progress, trans)}</span>
      <By author={build.author} />
    </span>
  );
}

function syncing(build: Build, trans: ReturnType<typeof useTrans>): string {
  return ['clone', 'create', 'build'].includes(build.operation)
    ? trans.__('Syncing packages')
    : operationText(build.operation, trans);
}

function Kernels({ kernels }: { kernels: readonly KernelView[] }): React.JSX.Element {
  const trans = useTrans();
  const behind = kernels.filter(item => (item.behind ?? 0) > 0).length;
  return (
    <span className="jp-envpanel-row-kernels">
      <span className="jp-envpanel-dot" aria-hidden="true" />
      {trans._n('%1 kernel', '%1 kernels', kernels.length)}
      {behind > 0 && (
        <>
          {', '}
          <span className="jp-envpanel-behind">{trans.__('%1 behind', behind)}</span>
        </>
      )}
    </span>
  );
}
