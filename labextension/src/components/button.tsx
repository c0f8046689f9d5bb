/** Buttons: with a word, or with an icon and a name for those who do not see it. */

import { LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

type Native = React.ButtonHTMLAttributes<HTMLButtonElement>;

export function Button(
  props: Native & { icon?: LabIcon; look?: 'accent' | 'plain' | 'link' | 'warn' }
): React.JSX.Element {
  const { icon, look = 'plain', children, className = '', ...rest } = props;
  return (
    <button type="button" className={`jp-envpanel-button jp-mod-${look} ${className}`} {...rest}>
      {icon && <icon.react tag="span" className="jp-envpanel-button-icon" width="14px" height="14px" />}
      <span>{children}</span>
    </button>
  );
}

export function IconButton(props: Native & { icon: LabIcon; label: string }): React.JSX.Element {
  const { icon, label, className = '', ...rest } = props;
  return (
    <button type="button" className={`jp-envpanel-iconbutton ${className}`} aria-label={label} title={label} {...rest}>
      <icon.react tag="span" width="16px" height="16px" />
    </button>
  );
}
