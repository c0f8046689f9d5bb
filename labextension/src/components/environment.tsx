/** The page of one environment. */

import { addIcon, caretLeftIcon, copyIcon, ellipsesIcon, notebookIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { operationText, progressText, stateText, usedFor } from '../format';
import { Tab } from '../navigation';
import { Build, Environment, EnvironmentDetail } from '../types';
import { Badge } from './badge';
import { Button, IconButton } from './button';
import { useTrans } from './context';
import { Connection, Loading, Problem } from './message';
import { ProgressBar } from './progress';
import { Tabs } from './tabs';
import { By, Text } from './text';

export interface EnvironmentActions {
  back(): void;
  retry(): void;
  open(name: string): void;
  select(tab: Tab): void;
  install(): void;
  clone(): void;
  notebook(): void;
  menu(place: DOMRect): void;
  cancel(build: Build): void;
}

export interface EnvironmentProps {
  name: string;
  detail: EnvironmentDetail | null;
  /** The newest of the base it came from, as the list has it. */
  base: Environment | undefined;
  running: Build | undefined;
  failed: number;
  error: Error | null;
  isOnline: boolean;
  tab: Tab;
  actions: EnvironmentActions;
  children: React.ReactNode;
}

export function EnvironmentPage(props: EnvironmentProps): React.JSX.Element {
  const trans = useTrans();
  const { detail, running, tab, actions } = props;
  const environment = detail?.environment;
  return (
    <div className="jp-envpanel-page">
      <header className="jp-envpanel-header">
        <BackButton onClick={actions.back} />
        <IconButton
          icon={ellipsesIcon}
          label={trans.__('More for %1', props.name)}
          aria-haspopup="menu"
          onClick={event => actions.menu(event.currentTarget.getBoundingClientRect())}
        />
      </header>
      <Connection isOnline={props.isOnline} retry={actions.retry} />
      <div className="jp-envpanel-about">
        <h2 className="jp-envpanel-about-name" tabIndex={-1}>
          <Text className="jp-envpanel-name">{props.name}</Text>
          {environment && <Badge kind={environment.kind} />}
        </h2>
        {environment && <Facts {...props} environment={environment} />}
      </div>
      {running && <Banner build={running} actions={actions} />}
      {props.error && !detail && <Problem error={props.error} retry={actions.retry} />}
      {!detail && !props.error && props.isOnline && <Loading />}
      {detail && (
        <>
          <Tabs
            label={trans.__('About %1', props.name)}
            current={tab}
            onSelect={actions.select}
            items={[
              { id: 'packages', title: trans.__('Packages'), count: detail.environment.packages },
              { id: 'history', title: trans.__('History'), count: detail.environment.head },
              { id: 'activity', title: trans.__('Activity'), count: (running ? 1 : 0) + props.failed }
            ]}
          />
          {props.children}
        </>
      )}
    </div>
  );
}

export function BackButton({ onClick, text }: { onClick(): void; text?: string }): React.JSX.Element {
  const trans = useTrans();
  return (
    <button type="button" className="jp-envpanel-back" onClick={onClick}>
      <caretLeftIcon.react tag="span" width="16px" height="16px" />
      {text ?? trans.__('Environments')}
    </button>
  );
}

function Facts(props: EnvironmentProps & { environment: Environment }): React.JSX.Element {
  const trans = useTrans();
  const { environment, base, actions } = props;
  const isBase = environment.kind === 'base';
  const from = environment.base;
  const isBusy = props.running !== undefined;
  return (
    <>
      {environment.description && (
        <p className="jp-envpanel-about-description">
          <bdi>{environment.description}</bdi>
        </p>
      )}
      <p className="jp-envpanel-about-facts jp-envpanel-dots">
        <span>{trans.__('Python %1', environment.python)}</span>
        <span>{usedFor(environment.group, environment.name, trans)}</span>
        {environment.state !== 'ready' && (
          <span className={`jp-envpanel-state jp-mod-${environment.state}`}>{stateText(environment.state, trans)}</span>
        )}
      </p>
      {from && (
        <p className="jp-envpanel-about-facts">
          {trans.__('from')}{' '}
          <Button look="link" onClick={() => actions.open(from.name)}>
            <bdi>{from.name}</bdi> r{from.revision}
          </Button>
          {base && base.head > from.revision && (
            <span className="jp-envpanel-newer">{trans.__('a newer base exists: r%1', base.head)}</span>
          )}
        </p>
      )}
      <div className="jp-envpanel-buttons">
        {isBase ? (
          <Button look="accent" icon={copyIcon} onClick={actions.clone}>
            {trans.__('Clone')}
          </Button>
        ) : (
          <>
            <Button look="accent" icon={addIcon} onClick={actions.install}>
              {trans.__('Install')}
            </Button>
            <Button icon={copyIcon} onClick={actions.clone}>
              {trans.__('Clone')}
            </Button>
          </>
        )}
        <Button
          icon={notebookIcon}
          title={trans.__('New notebook in %1', environment.name)}
          onClick={actions.notebook}
          disabled={isBusy && environment.state !== 'ready'}
        >
          {trans.__('Notebook')}
        </Button>
      </div>
    </>
  );
}

function Banner({ build, actions }: { build: Build; actions: EnvironmentActions }): React.JSX.Element {
  const trans = useTrans();
  const what = operationText(build.operation, trans);
  return (
    <div className="jp-envpanel-banner">
      <div className="jp-envpanel-banner-text">
        <span className="jp-envpanel-dots">
          <strong>{build.operation === 'build' ? trans.__('Syncing packages') : what}</strong>
          <span className="jp-envpanel-number">{progressText(build.progress, trans)}</span>
          <By author={build.author} />
        </span>
        <Button look="link" onClick={() => actions.select('activity')}>
          {trans.__('Log')}
        </Button>
        <Button look="link" onClick={() => actions.cancel(build)}>
          {trans.__('Cancel')}
        </Button>
      </div>
      <ProgressBar build={build} label={what} />
    </div>
  );
}
