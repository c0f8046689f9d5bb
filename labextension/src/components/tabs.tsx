/** Tabs, with the keys that tabs have. */

import * as React from 'react';

export interface TabItem<T extends string> {
  id: T;
  title: string;
  /** A count beside the title, such as of what runs. */
  count?: number;
}

export function Tabs<T extends string>(props: {
  items: readonly TabItem<T>[];
  current: T;
  label: string;
  onSelect(id: T): void;
}): React.JSX.Element {
  const { items, current, onSelect } = props;
  const onKeyDown = (event: React.KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) {
      const at = items.findIndex(item => item.id === current);
      const next = items[(at + step + items.length) % items.length];
      event.preventDefault();
      onSelect(next.id);
      event.currentTarget.querySelector<HTMLElement>(`[data-tab="${next.id}"]`)?.focus();
    }
  };
  return (
    <div className="jp-envpanel-tabs" role="tablist" aria-label={props.label} onKeyDown={onKeyDown}>
      {items.map(item => (
        <button
          key={item.id}
          type="button"
          role="tab"
          data-tab={item.id}
          aria-selected={item.id === current}
          tabIndex={item.id === current ? 0 : -1}
          onClick={() => onSelect(item.id)}
        >
          {item.title}
          {item.count ? <span className="jp-envpanel-tab-count">{item.count}</span> : null}
        </button>
      ))}
    </div>
  );
}
