/** What a change would do, before it does it: the picture that the history will show. */

import * as React from 'react';
import { duration, isEmpty, megabytes, progressText } from '../format';
import { ProposalState } from '../proposal';
import { Build, Diff, Preview } from '../types';
import { Button } from './button';
import { useTrans } from './context';
import { DiffView } from './diff';
import { BackButton } from './environment';
import { LogView } from './log';
import { Loading, Note, Problem } from './message';
import { ProgressBar } from './progress';
import { Fold } from './fold';

export interface ProposalProps {
  name: string;
  title: string;
  /** What is asked for, in one line. */
  request: string;
  head: number | undefined;
  state: ProposalState;
  build: Build | null;
  preview: Preview | null;
  error: Error | null;
  moved: Error | null;
  /** What a colleague's change did, where the server told. */
  between: Diff | null;
  actions: {
    apply(message: string): void;
    again(): void;
    cancel(): void;
    back(): void;
  };
}

export function ProposalPage(props: ProposalProps): React.JSX.Element {
  const trans = useTrans();
  const { name, state, build, preview, error, moved, actions } = props;
  const [message, setMessage] = React.useState('');
  const isNothing = preview !== null && isEmpty(preview.plan);
  const isOpen = state === 'ready' || state === 'applying';
  return (
    <form
      className="jp-envpanel-page"
      onSubmit={event => {
        event.preventDefault();
        actions.apply(message);
      }}
    >
      <header className="jp-envpanel-header">
        <BackButton onClick={actions.back} text={trans.__('Back')} />
      </header>
      <div className="jp-envpanel-body jp-envpanel-form">
        <h2 className="jp-envpanel-form-title" tabIndex={-1}>
          <bdi>{props.title}</bdi>
        </h2>
        <p className="jp-envpanel-quiet">
          <bdi>{name}</bdi>
          {props.request && (
            <>
              {' · '}
              <bdi>{props.request}</bdi>
            </>
          )}
        </p>
        {moved && (
          <Note kind="warn">
            <strong>{trans.__('A colleague was first.')}</strong>
            <bdi>{moved.message}</bdi>
            {state === 'ready' && <span>{trans.__('Below is what your change would do now.')}</span>}
            {props.between && (
              <Fold title={trans.__('What came in between')}>
                <DiffView diff={props.between} />
              </Fold>
            )}
          </Note>
        )}
        {state === 'resolving' && (
          <>
            <Loading text={trans.__('Finding out what would change…')} />
            {build && build.elapsed > 2 && (
              <p className="jp-envpanel-quiet jp-envpanel-dots">
                <span>{progressText(build.progress, trans)}</span>
                <span>{duration(build.elapsed, trans)}</span>
              </p>
            )}
          </>
        )}
        {isOpen && preview && (
          <section aria-label={trans.__('What would change')} className="jp-envpanel-plan">
            <DiffView
              diff={preview.plan}
              nothing={trans.__('No package would change. What is asked for is here already.')}
            />
          </section>
        )}
        {isOpen &&
          preview?.warnings.map(warning => (
            <Note key={`${warning.code} ${warning.package}`} kind="warn">
              <bdi>{warning.message}</bdi>
            </Note>
          ))}
        {state === 'ready' && preview && preview.download !== null && preview.download > 0 && (
          <p className="jp-envpanel-quiet">
            {trans.__('To download: at most %1, less what this machine has already.', megabytes(preview.download))}
          </p>
        )}
        {state === 'failed' && error && (
          <>
            <Problem error={error} retry={actions.again} retryText={trans.__('Preview again')} />
            {build && build.log.length > 0 && <LogView lines={build.log} />}
          </>
        )}
        {state === 'applying' && (
          <div className="jp-envpanel-banner jp-mod-inline" role="status">
            <div className="jp-envpanel-banner-text">
              <span>{build ? progressText(build.progress, trans) : trans.__('Applying…')}</span>
              {build && (
                <Button look="link" onClick={actions.cancel}>
                  {trans.__('Cancel')}
                </Button>
              )}
            </div>
            {build && <ProgressBar build={build} label={props.title} />}
            <p className="jp-envpanel-quiet">{trans.__('You can go elsewhere: this goes on by itself.')}</p>
          </div>
        )}
        {state === 'ready' && preview && (
          <>
            <label className="jp-envpanel-field">
              <span>{trans.__('Why? (for the history)')}</span>
              <textarea
                className="jp-envpanel-input"
                rows={2}
                maxLength={2000}
                value={message}
                placeholder={trans.__('joins were wrong with 1.9')}
                onChange={event => setMessage(event.currentTarget.value)}
              />
            </label>
            <div className="jp-envpanel-buttons">
              <Button type="submit" look="accent">
                {isNothing ? trans.__('Apply all the same') : trans.__('Apply')}
              </Button>
              <Button onClick={actions.back}>{trans.__('Cancel')}</Button>
              {props.head !== undefined && (
                <span className="jp-envpanel-quiet">{trans.__('makes r%1', props.head + 1)}</span>
              )}
            </div>
          </>
        )}
      </div>
    </form>
  );
}
