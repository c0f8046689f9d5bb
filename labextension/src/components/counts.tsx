/** `+2 −0 ↑3 ↓1`: sign and, for those who hear it, the word. */

import { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { Count, counts } from '../format';
import { Diff } from '../types';
import { useTrans } from './context';

export function Counts({ diff }: { diff: Diff }): React.JSX.Element {
  const trans = useTrans();
  return (
    <span className="jp-envpanel-counts">
      {counts(diff).map(item => (
        <span key={item.kind} className={`jp-envpanel-count jp-mod-${item.kind}`} title={countText(item, trans)}>
          <span aria-hidden="true">
            {item.sign}
            {item.count}
          </span>
          <span className="jp-envpanel-hidden">{countText(item, trans)} </span>
        </span>
      ))}
      {diff.python && (
        <span className="jp-envpanel-count">{trans.__('Python %1 → %2', diff.python.old, diff.python.new)}</span>
      )}
    </span>
  );
}

function countText(item: Count, trans: TranslationBundle): string {
  switch (item.kind) {
    case 'installed':
      return trans.__('%1 installed', item.count);
    case 'uninstalled':
      return trans.__('%1 uninstalled', item.count);
    case 'upgraded':
      return trans.__('%1 upgraded', item.count);
    case 'downgraded':
      return trans.__('%1 downgraded', item.count);
    case 'changed':
      return trans.__('%1 changed', item.count);
  }
}
