/** Empty, loading, failed, offline: each is a sentence, with a button for what to do next. */

import * as React from 'react';
import { BuildFailed } from '../model';
import { RequestError } from '../request';
import { Button } from './button';
import { useTrans } from './context';
import { plain } from '../format';

export function Loading({ text }: { text?: string }): React.JSX.Element {
  const trans = useTrans();
  return (
    <div className="jp-envpanel-loading" role="status">
      <span className="jp-envpanel-spinner" aria-hidden="true" />
      {text ?? trans.__('Loading…')}
    </div>
  );
}

export function Empty(props: { title: string; children?: React.ReactNode }): React.JSX.Element {
  return (
    <div className="jp-envpanel-empty">
      <p className="jp-envpanel-empty-title">{props.title}</p>
      {props.children}
    </div>
  );
}

/** What went wrong, and what to do: the server's own sentences. */
export function Problem(props: { error: Error; retry?: () => void; retryText?: string }): React.JSX.Element {
  const trans = useTrans();
  const { error, retry, retryText } = props;
  return (
    <div className="jp-envpanel-problem" role="alert">
      <p className="jp-envpanel-problem-text">
        <bdi>{plainLines(error.message)}</bdi>
      </p>
      {hintOf(error) && (
        <p className="jp-envpanel-problem-hint">
          <bdi>{plainLines(hintOf(error) ?? '')}</bdi>
        </p>
      )}
      {retry && <Button onClick={retry}>{retryText ?? trans.__('Try again')}</Button>}
    </div>
  );
}

export function Note(props: { kind?: 'info' | 'warn'; children: React.ReactNode }): React.JSX.Element {
  return <div className={`jp-envpanel-note jp-mod-${props.kind ?? 'info'}`}>{props.children}</div>;
}

/** That the server is not there, for as long as it is not. */
export function Connection({ isOnline, retry }: { isOnline: boolean; retry: () => void }): React.JSX.Element {
  const trans = useTrans();
  return (
    <div role="status" className="jp-envpanel-live">
      {!isOnline && (
        <div className="jp-envpanel-offline">
          <span>
            {trans.__('The Jupyter server does not answer. What is shown may be old; this goes on by itself.')}
          </span>
          <Button look="link" onClick={retry}>
            {trans.__('Try now')}
          </Button>
        </div>
      )}
    </div>
  );
}

function hintOf(error: Error): string | null {
  if (error instanceof RequestError) {
    return error.hint;
  }
  return error instanceof BuildFailed ? (error.build.failure?.hint ?? null) : null;
}

function plainLines(text: string): string {
  return text.split('\n').map(plain).join('\n');
}
