/** What is different: the same picture for a preview, a revision and a comparison. */

import { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { isEmpty } from '../format';
import { Changed, Diff, Moved, Present } from '../types';
import { useTrans } from './context';
import { Fold } from './fold';

interface Line {
  name: string;
  requested: boolean;
  old: string | null;
  new: string | null;
}

interface Part {
  kind: string;
  sign: string;
  title: string;
  lines: Line[];
}

export function DiffView({ diff, nothing }: { diff: Diff; nothing?: string }): React.JSX.Element {
  const trans = useTrans();
  if (isEmpty(diff)) {
    return <p className="jp-envpanel-quiet">{nothing ?? trans.__('The packages are the same.')}</p>;
  }
  return (
    <div className="jp-envpanel-diff">
      {diff.python && (
        <p className="jp-envpanel-diff-python">{trans.__('Python %1 → %2', diff.python.old, diff.python.new)}</p>
      )}
      {parts(diff, trans)
        .filter(part => part.lines.length > 0)
        .map(part => (
          <DiffPart key={part.kind} part={part} />
        ))}
    </div>
  );
}

function DiffPart({ part }: { part: Part }): React.JSX.Element {
  const trans = useTrans();
  const asked = part.lines.filter(line => line.requested);
  const pulled = part.lines.filter(line => !line.requested);
  return (
    <section className={`jp-envpanel-diff-part jp-mod-${part.kind}`}>
      <h4 className="jp-envpanel-diff-title">
        <span className="jp-envpanel-sign" aria-hidden="true">
          {part.sign}
        </span>
        {part.title}
        <span className="jp-envpanel-number">{part.lines.length}</span>
      </h4>
      <Lines lines={asked} />
      {/* Where nobody asked for any of them there is nothing to fold them behind. */}
      {asked.length === 0 && pulled.length <= 6 ? (
        <Lines lines={pulled} />
      ) : (
        pulled.length > 0 && (
          <Fold title={trans._n('%1 pulled-in package', '%1 pulled-in packages', pulled.length)}>
            <Lines lines={pulled} />
          </Fold>
        )
      )}
    </section>
  );
}

function Lines({ lines }: { lines: Line[] }): React.JSX.Element | null {
  if (lines.length === 0) {
    return null;
  }
  return (
    <ul className="jp-envpanel-diff-lines">
      {lines.map(line => (
        <li key={line.name} className={line.requested ? 'jp-mod-requested' : ''}>
          <bdi className="jp-envpanel-package">{line.name}</bdi>
          <span className="jp-envpanel-versions">
            {line.old !== null && <bdi className={line.new === null ? '' : 'jp-envpanel-old'}>{line.old}</bdi>}
            {line.old !== null && line.new !== null && ' → '}
            {line.new !== null && <bdi>{line.new}</bdi>}
          </span>
        </li>
      ))}
    </ul>
  );
}

function parts(diff: Diff, trans: TranslationBundle): Part[] {
  return [
    { kind: 'installed', sign: '+', title: trans.__('INSTALLED'), lines: diff.installed.map(present('new')) },
    { kind: 'upgraded', sign: '↑', title: trans.__('UPGRADED'), lines: diff.upgraded.map(moved) },
    { kind: 'downgraded', sign: '↓', title: trans.__('DOWNGRADED'), lines: diff.downgraded.map(moved) },
    { kind: 'uninstalled', sign: '−', title: trans.__('UNINSTALLED'), lines: diff.uninstalled.map(present('old')) },
    { kind: 'changed', sign: '~', title: trans.__('CHANGED'), lines: diff.changed.map(changed) }
  ];
}

function present(side: 'old' | 'new'): (item: Present) => Line {
  return item => ({
    name: item.name,
    requested: item.requested,
    old: side === 'old' ? item.version : null,
    new: side === 'new' ? item.version : null
  });
}

function moved(item: Moved): Line {
  return { name: item.name, requested: item.requested, old: item.old, new: item.new };
}

function changed(item: Changed): Line {
  const { old, new: now } = item;
  return {
    name: item.name,
    requested: true,
    old: `${item.version} ${old.manager}/${old.origin}`,
    new: `${now.manager}/${now.origin}`
  };
}
