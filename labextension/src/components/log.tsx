/** What resolver and installer have said, as text. */

import * as React from 'react';
import { plain } from '../format';
import { useTrans } from './context';

export function LogView({ lines }: { lines: readonly string[] }): React.JSX.Element {
  const trans = useTrans();
  const box = React.useRef<HTMLPreElement>(null);
  const isAtEnd = React.useRef(true);
  React.useLayoutEffect(() => {
    // Whoever has scrolled up to read is left there.
    if (box.current && isAtEnd.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  }, [lines]);
  return (
    <pre
      ref={box}
      className="jp-envpanel-log"
      tabIndex={0}
      aria-label={trans.__('Log')}
      onScroll={event => {
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        isAtEnd.current = scrollHeight - scrollTop - clientHeight < 8;
      }}
    >
      {lines.length === 0 ? trans.__('Nothing was said yet.') : lines.map(plain).join('\n')}
    </pre>
  );
}
