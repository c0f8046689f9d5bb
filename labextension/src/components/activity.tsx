/** What runs, and what did not work. */

import * as React from 'react';
import { duration, operationText, progressText } from '../format';
import { requestText } from '../intents';
import { Attempt, Build, KernelView } from '../types';
import { Button } from './button';
import { useTrans } from './context';
import { Kernels } from './kernels';
import { LogView } from './log';
import { Empty, Loading } from './message';
import { ProgressBar } from './progress';
import { Ago, By } from './text';

export interface ActivityProps {
  running: readonly Build[];
  /** Builds of this server that failed and are no attempts: nothing of the environment was to be changed. */
  failed: readonly Build[];
  attempts: readonly Attempt[] | null;
  kernels: readonly KernelView[];
  actions: ActivityActions;
}

export interface ActivityActions {
  cancel(build: Build): void;
  retry(attempt: Attempt): void;
  rebuild(): void;
  canRetry(attempt: Attempt): boolean;
  /** A build with the end of its log. */
  look(id: string): Promise<Build>;
  log(attempt: Attempt): Promise<string>;
}

export function Activity(props: ActivityProps): React.JSX.Element {
  const trans = useTrans();
  const { running, failed, attempts, actions } = props;
  return (
    <div className="jp-envpanel-body jp-envpanel-activity">
      {running.map(build => (
        <Running key={build.id} build={build} actions={actions} />
      ))}
      {failed.map(build => (
        <article key={build.id} className="jp-envpanel-attempt">
          <Head operation={build.operation} state={build.state} request="" />
          <p className="jp-envpanel-attempt-reason">
            <bdi>{build.failure?.message}</bdi>
          </p>
          <p className="jp-envpanel-quiet">
            <By author={build.author} /> · <Ago time={build.created} />
          </p>
          <div className="jp-envpanel-buttons">
            <Button onClick={actions.rebuild}>{trans.__('Build again')}</Button>
            <LogButton load={async () => (await actions.look(build.id)).log} />
          </div>
        </article>
      ))}
      <Kernels kernels={props.kernels} />
      {attempts === null && <Loading />}
      {attempts?.map(attempt => (
        <AttemptItem key={attempt.id} attempt={attempt} actions={actions} />
      ))}
      {attempts?.length === 0 && running.length === 0 && failed.length === 0 && (
        <Empty title={trans.__('Nothing runs, and nothing has failed.')}>
          <p>{trans.__('What worked is in the history.')}</p>
        </Empty>
      )}
    </div>
  );
}

function Running({ build, actions }: { build: Build; actions: ActivityActions }): React.JSX.Element {
  const trans = useTrans();
  const [lines, setLines] = React.useState<readonly string[]>(build.log);
  // The log is asked for when something was said: with each step that the server tells.
  const step = `${build.progress.phase} ${build.progress.done} ${build.lines} ${Math.floor(build.elapsed)}`;
  React.useEffect(() => {
    let isHere = true;
    actions.look(build.id).then(
      told => isHere && setLines(told.log),
      () => undefined
    );
    return () => {
      isHere = false;
    };
  }, [step]);
  return (
    <article className="jp-envpanel-attempt jp-mod-running">
      <Head operation={build.operation} state={build.state} request="" />
      <p className="jp-envpanel-dots jp-envpanel-number">
        <span>{progressText(build.progress, trans)}</span>
        {build.progress.detail && <bdi>{build.progress.detail}</bdi>}
        <span>{duration(build.elapsed, trans)}</span>
        <By author={build.author} />
      </p>
      <ProgressBar build={build} label={operationText(build.operation, trans)} />
      <LogView lines={lines} />
      <div className="jp-envpanel-buttons">
        <Button onClick={() => actions.cancel(build)}>{trans.__('Cancel')}</Button>
      </div>
    </article>
  );
}

function AttemptItem({ attempt, actions }: { attempt: Attempt; actions: ActivityActions }): React.JSX.Element {
  const trans = useTrans();
  return (
    <article className="jp-envpanel-attempt">
      <Head
        operation={attempt.operation}
        state={attempt.state}
        request={requestText(attempt.operation, attempt.arguments)}
      />
      <p className="jp-envpanel-attempt-reason">
        <bdi>{attempt.reason}</bdi>
      </p>
      {attempt.hint && (
        <p>
          <bdi>{attempt.hint}</bdi>
        </p>
      )}
      <p className="jp-envpanel-quiet">
        <By author={attempt.author} /> · <Ago time={attempt.created} />
      </p>
      <div className="jp-envpanel-buttons">
        {actions.canRetry(attempt) && <Button onClick={() => actions.retry(attempt)}>{trans.__('Try again…')}</Button>}
        {attempt.log && <LogButton load={async () => (await actions.log(attempt)).split('\n')} />}
      </div>
    </article>
  );
}

function Head(props: { operation: string; state: string; request: string }): React.JSX.Element {
  const trans = useTrans();
  const words: Record<string, string> = {
    running: trans.__('running'),
    failed: trans.__('failed'),
    cancelled: trans.__('cancelled'),
    interrupted: trans.__('interrupted')
  };
  return (
    <h3 className="jp-envpanel-attempt-head">
      <bdi>
        {operationText(props.operation, trans)} {props.request}
      </bdi>
      <span className={`jp-envpanel-outcome jp-mod-${props.state}`}>{words[props.state] ?? props.state}</span>
    </h3>
  );
}

function LogButton({ load }: { load(): Promise<readonly string[]> }): React.JSX.Element {
  const trans = useTrans();
  const [lines, setLines] = React.useState<readonly string[] | null>(null);
  const show = () => {
    load().then(setLines, (error: Error) => setLines([error.message]));
  };
  return (
    <>
      <Button look="link" aria-expanded={lines !== null} onClick={() => (lines ? setLines(null) : show())}>
        {lines ? trans.__('Hide log') : trans.__('Show log')}
      </Button>
      {lines && <LogView lines={lines} />}
    </>
  );
}
