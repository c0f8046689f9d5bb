/** Text that others wrote: shown as text, and a direction in it ends with it. */

import * as React from 'react';
import { ago, exactly } from '../format';
import { Author } from '../types';
import { useLocale, useNow } from './context';

export function Text({ children, className }: { children: string; className?: string }): React.JSX.Element {
  return (
    <bdi className={className} title={children}>
      {children}
    </bdi>
  );
}

/** When, relative to now; exactly, on hover. */
export function Ago({ time }: { time: string }): React.JSX.Element {
  const locale = useLocale();
  return (
    <time
      dateTime={time}
      // Made when it is wanted: a date in words takes longer than a row.
      onMouseEnter={event => {
        event.currentTarget.title = exactly(time, locale);
      }}
    >
      {ago(time, useNow(), locale)}
    </time>
  );
}

export function By({ author }: { author: Author }): React.JSX.Element {
  return (
    <bdi title={author.username === author.name ? author.name : `${author.name} (${author.username})`}>
      {author.name}
    </bdi>
  );
}
