/** A list of any length: only what is in sight is there. */

import * as React from 'react';
import { Lines } from '../window';

export interface VirtualProps {
  count: number;
  rowHeight: number;
  /** What a line is, wherever it stands. */
  keyOf(index: number): number;
  indexOf(key: number): number;
  opened: ReadonlySet<number>;
  render(index: number): React.ReactNode;
  onSight(first: number, last: number): void;
  label: string;
  /** Bring this line into sight when it changes. */
  reveal?: number;
}

export function Virtual(props: VirtualProps): React.JSX.Element {
  const { count, rowHeight, opened, reveal } = props;
  const box = React.useRef<HTMLDivElement>(null);
  const [place, setPlace] = React.useState({ scroll: 0, height: 600 });
  const [heights, setHeights] = React.useState<ReadonlyMap<number, number>>(new Map());

  const lines = new Lines(
    count,
    rowHeight,
    [...opened].map(key => ({
      index: props.indexOf(key),
      extra: Math.max((heights.get(key) ?? rowHeight) - rowHeight, 0)
    }))
  );
  const { first, last } = lines.sight(place.scroll, place.height);

  React.useLayoutEffect(() => {
    const element = box.current;
    if (!element) {
      return;
    }
    const look = () => setPlace({ scroll: element.scrollTop, height: element.clientHeight });
    look();
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener('scroll', look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener('scroll', look);
    };
  }, []);

  React.useEffect(() => props.onSight(first, last), [first, last, count]);

  React.useLayoutEffect(() => {
    if (reveal !== undefined && box.current && count > 0) {
      box.current.scrollTop = Math.max(lines.top(props.indexOf(reveal)) - rowHeight, 0);
    }
  }, [reveal, count > 0]);

  const measured = React.useCallback((key: number, height: number) => {
    setHeights(known => (known.get(key) === height ? known : new Map(known).set(key, height)));
  }, []);

  const shown: React.ReactNode[] = [];
  for (let index = first; index <= last; index++) {
    const key = props.keyOf(index);
    shown.push(
      <Line
        key={key}
        id={key}
        top={lines.top(index)}
        index={index}
        count={count}
        isMeasured={opened.has(key)}
        onHeight={measured}
      >
        {props.render(index)}
      </Line>
    );
  }
  return (
    <div className="jp-envpanel-body jp-envpanel-virtual" ref={box}>
      <div role="list" aria-label={props.label} style={{ height: lines.total, position: 'relative' }}>
        {shown}
      </div>
    </div>
  );
}

function Line(props: {
  id: number;
  top: number;
  index: number;
  count: number;
  isMeasured: boolean;
  onHeight(key: number, height: number): void;
  children: React.ReactNode;
}): React.JSX.Element {
  const element = React.useRef<HTMLDivElement>(null);
  const { id, isMeasured, onHeight } = props;
  React.useLayoutEffect(() => {
    const node = element.current;
    if (!node || !isMeasured) {
      return;
    }
    onHeight(id, node.offsetHeight);
    const observer = new ResizeObserver(() => onHeight(id, node.offsetHeight));
    observer.observe(node);
    return () => observer.disconnect();
  }, [id, isMeasured, onHeight]);
  return (
    <div
      ref={element}
      role="listitem"
      aria-posinset={props.index + 1}
      aria-setsize={props.count}
      className="jp-envpanel-line"
      style={{ transform: `translateY(${props.top}px)` }}
    >
      {props.children}
    </div>
  );
}
