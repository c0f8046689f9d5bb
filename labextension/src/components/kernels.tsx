/** The kernels that run in an environment: on which revision, whose, and how far behind. */

import * as React from 'react';
import { KernelView } from '../types';
import { useTrans } from './context';
import { Ago, By } from './text';

export function Kernels({ kernels }: { kernels: readonly KernelView[] }): React.JSX.Element | null {
  const trans = useTrans();
  if (kernels.length === 0) {
    return null;
  }
  return (
    <section>
      <h3 className="jp-envpanel-subtitle">{trans.__('Kernels')}</h3>
      <ul className="jp-envpanel-kernels" aria-label={trans.__('Kernels')}>
        {kernels.map(({ kernel, behind, stay, notice }) => (
          <li key={kernel.id}>
            <span className="jp-envpanel-dots">
              <strong>r{kernel.revision}</strong>
              <By author={kernel.author} />
              <Ago time={kernel.started} />
              {behind ? (
                <span className="jp-envpanel-behind">{trans._n('%1 change behind', '%1 changes behind', behind)}</span>
              ) : (
                <span>{trans.__('up to date')}</span>
              )}
              {stay && <span>{trans.__('stays')}</span>}
            </span>
            {notice && (
              <p className="jp-envpanel-quiet">
                <bdi>{notice}</bdi>
              </p>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
