/** What a notebook runs in: `churn-features r7`, and whether there is something newer. */

import { caretDownEmptyIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { KernelView } from '../types';
import { useTrans } from './context';

export interface ChipProps {
  /** The kernel of the notebook, where that runs in an environment. */
  view: KernelView | undefined;
  /** The newest revision of its environment. */
  head: number | undefined;
  menu(place: DOMRect): void;
}

export function Chip({ view, head, menu }: ChipProps): React.JSX.Element | null {
  const trans = useTrans();
  const isBehind = (view?.behind ?? 0) > 0;
  const text = view ? `${view.kernel.environment} r${view.kernel.revision}` : trans.__('Environment');
  return (
    <button
      type="button"
      className={`jp-envpanel-chip${isBehind ? ' jp-mod-behind' : ''}${view ? '' : ' jp-mod-none'}`}
      aria-haspopup="menu"
      title={
        view?.notice ??
        (view ? trans.__('The environment of this notebook') : trans.__('Choose an environment for this notebook'))
      }
      onClick={event => menu(event.currentTarget.getBoundingClientRect())}
    >
      <bdi>{text}</bdi>
      {isBehind && !view?.stay && <span className="jp-envpanel-chip-newer">{trans.__('r%1 available', head)}</span>}
      {view?.stay && <span>{trans.__('stays')}</span>}
      <caretDownEmptyIcon.react tag="span" width="12px" height="12px" />
    </button>
  );
}
