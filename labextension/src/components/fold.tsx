/** Something that is folded away behind its title. */

import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

export function Fold(props: { title: string; isOpen?: boolean; children: React.ReactNode }): React.JSX.Element {
  const [isOpen, setOpen] = React.useState(props.isOpen ?? false);
  const Icon = isOpen ? caretDownIcon : caretRightIcon;
  return (
    <div className="jp-envpanel-fold">
      <button type="button" className="jp-envpanel-fold-title" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <Icon.react tag="span" width="14px" height="14px" />
        {props.title}
      </button>
      {isOpen && props.children}
    </div>
  );
}
