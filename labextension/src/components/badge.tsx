/** BASE or CUSTOM. */

import * as React from 'react';
import { Kind } from '../types';
import { useTrans } from './context';

export function Badge({ kind }: { kind: Kind }): React.JSX.Element {
  const trans = useTrans();
  return (
    <span className={`jp-envpanel-badge jp-mod-${kind}`}>
      {kind === 'base' ? trans.__('BASE') : trans.__('CUSTOM')}
    </span>
  );
}
