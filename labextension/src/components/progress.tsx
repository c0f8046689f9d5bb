/** How far a build is, as a bar and in words. */

import * as React from 'react';
import { fraction, progressText } from '../format';
import { Build } from '../types';
import { useTrans } from './context';

export function ProgressBar({ build, label }: { build: Build; label: string }): React.JSX.Element {
  const trans = useTrans();
  const part = fraction(build);
  const value = part === null ? undefined : Math.round(part * 100);
  return (
    <div
      className={`jp-envpanel-progress${part === null ? ' jp-mod-unknown' : ''}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={value}
      aria-valuetext={progressText(build.progress, trans)}
    >
      <span style={value === undefined ? undefined : { width: `${value}%` }} />
    </div>
  );
}
