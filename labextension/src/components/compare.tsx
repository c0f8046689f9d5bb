/** A revision against any other, of this environment or another. */

import * as React from 'react';
import { countsText } from '../format';
import { Comparison, Environment, RevisionRef } from '../types';
import { Button } from './button';
import { useTrans } from './context';
import { DiffView } from './diff';
import { Loading, Problem } from './message';

export interface CompareProps {
  name: string;
  revision: number;
  parent: number | null;
  environments: readonly Environment[];
  compare(from: RevisionRef, to: RevisionRef): Promise<Comparison>;
  sideBySide(from: RevisionRef, to: RevisionRef): void;
}

export function Compare(props: CompareProps): React.JSX.Element {
  const trans = useTrans();
  const { name, revision, environments } = props;
  const [other, setOther] = React.useState(name);
  const head = environments.find(item => item.name === other)?.head ?? 1;
  // The newest says most, seen from an old one; an old one, seen from the newest.
  const start = head === revision ? (props.parent ?? revision) : head;
  const [number, setNumber] = React.useState(start);
  const [found, setFound] = React.useState<Comparison | null>(null);
  const [error, setError] = React.useState<Error | null>(null);

  React.useEffect(() => {
    let isHere = true;
    setError(null);
    if (number >= 1 && number <= head) {
      props.compare({ name: other, revision: number }, { name, revision }).then(
        value => isHere && setFound(value),
        (reason: Error) => isHere && setError(reason)
      );
    }
    return () => {
      isHere = false;
    };
  }, [other, number, name, revision]);

  const choose = (next: string) => {
    setOther(next);
    setFound(null);
    setNumber(environments.find(item => item.name === next)?.head ?? 1);
  };
  const isAsked = found?.old.name === other && found.old.revision === number;
  return (
    <div className="jp-envpanel-compare">
      <div className="jp-envpanel-compare-with">
        <span>{trans.__('From')}</span>
        <select
          className="jp-envpanel-input"
          aria-label={trans.__('Environment to compare with')}
          value={other}
          onChange={event => choose(event.currentTarget.value)}
        >
          {environments.map(item => (
            <option key={item.name} value={item.name}>
              {item.name}
            </option>
          ))}
        </select>
        <label className="jp-envpanel-compare-number">
          r
          <input
            type="number"
            className="jp-envpanel-input"
            aria-label={trans.__('Revision to compare with, 1 to %1', head)}
            min={1}
            max={head}
            value={Number.isNaN(number) ? '' : number}
            aria-invalid={!(number >= 1 && number <= head)}
            onChange={event => setNumber(event.currentTarget.valueAsNumber)}
          />
        </label>
        <span>{trans.__('to r%1', revision)}</span>
      </div>
      {error && <Problem error={error} />}
      {!error && !isAsked && number >= 1 && number <= head && <Loading />}
      {!(number >= 1 && number <= head) && (
        <p className="jp-envpanel-invalid">{trans.__('%1 has revisions 1 to %2.', other, head)}</p>
      )}
      {found && isAsked && !error && (
        <div role="region" aria-label={trans.__('Difference %1', countsText(found.diff))}>
          <DiffView diff={found.diff} />
          <Button look="link" onClick={() => props.sideBySide({ name: other, revision: number }, { name, revision })}>
            {trans.__('YAML side by side')}
          </Button>
        </div>
      )}
    </div>
  );
}
