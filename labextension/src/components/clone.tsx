/** A new custom environment, from a base or from any other. */

import { copyIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { GROUPS, groupTitle, nameProblem, suggestName } from '../format';
import { Environment } from '../types';
import { Button } from './button';
import { useTrans } from './context';
import { BackButton } from './environment';
import { Problem } from './message';

export interface CloneProps {
  environments: readonly Environment[];
  source: string | null;
  revision: number | undefined;
  /** Rejected with the server's sentence. */
  clone(asked: { source: string; name: string; description: string }): Promise<void>;
  back(): void;
}

export function CloneForm(props: CloneProps): React.JSX.Element {
  const trans = useTrans();
  const { environments } = props;
  const [source, setSource] = React.useState(props.source ?? environments[0]?.name ?? '');
  const from = environments.find(item => item.name === source);
  const [name, setName] = React.useState('');
  const [isTouched, setTouched] = React.useState(false);
  const [description, setDescription] = React.useState(from?.description ?? '');
  const [isDescribed, setDescribed] = React.useState(false);
  const [isBusy, setBusy] = React.useState(false);
  const [error, setError] = React.useState<Error | null>(null);
  const field = React.useRef<HTMLInputElement>(null);
  React.useEffect(() => field.current?.focus(), []);

  const problem = nameProblem(
    name,
    environments.map(item => item.name),
    trans
  );
  const suggestion = problem && name ? suggestName(name) : '';
  const isShown = problem !== null && (isTouched || name !== '');
  const text = isDescribed ? description : (from?.description ?? '');

  const submit = async (event: React.FormEvent) => {
    event.preventDefault();
    setTouched(true);
    if (problem !== null || !from) {
      field.current?.focus();
      return;
    }
    setBusy(true);
    setError(null);
    try {
      await props.clone({ source, name, description: text });
    } catch (reason) {
      setError(reason as Error);
      setBusy(false);
    }
  };

  return (
    <form className="jp-envpanel-page" onSubmit={event => void submit(event)} noValidate>
      <header className="jp-envpanel-header">
        <BackButton onClick={props.back} text={trans.__('Back')} />
      </header>
      <div className="jp-envpanel-body jp-envpanel-form">
        <h2 className="jp-envpanel-form-title" tabIndex={-1}>
          {trans.__('Clone an environment')}
        </h2>
        <label className="jp-envpanel-field">
          <span>{trans.__('From')}</span>
          <select
            className="jp-envpanel-input"
            value={source}
            disabled={props.revision !== undefined}
            onChange={event => setSource(event.currentTarget.value)}
          >
            {GROUPS.map(group => (
              <optgroup key={group} label={groupTitle(group, trans)}>
                {environments
                  .filter(item => item.group === group)
                  .map(item => (
                    <option key={item.name} value={item.name}>
                      {item.name}
                    </option>
                  ))}
              </optgroup>
            ))}
          </select>
        </label>
        {from && (
          <p className="jp-envpanel-quiet jp-envpanel-dots">
            <span>r{props.revision ?? from.head}</span>
            <span>{trans._n('%1 package', '%1 packages', from.packages)}</span>
            <span>{trans.__('Python %1', from.python)}</span>
          </p>
        )}
        <label className="jp-envpanel-field">
          <span>{trans.__('Name')}</span>
          <input
            ref={field}
            className="jp-envpanel-input"
            value={name}
            spellCheck={false}
            autoComplete="off"
            placeholder={trans.__('such as churn-features')}
            aria-invalid={isShown}
            aria-describedby="jp-envpanel-clone-problem"
            onChange={event => setName(event.currentTarget.value)}
            onBlur={() => name && setTouched(true)}
          />
        </label>
        {/* It keeps its place, so that nothing below moves while somebody types. */}
        <div id="jp-envpanel-clone-problem" className="jp-envpanel-invalid" aria-live="polite">
          {isShown && problem}
          {isShown && suggestion && !environments.some(item => item.name === suggestion) && (
            <Button look="link" onClick={() => setName(suggestion)}>
              {trans.__('Take %1', suggestion)}
            </Button>
          )}
        </div>
        <label className="jp-envpanel-field">
          <span>{trans.__('Description')}</span>
          <textarea
            className="jp-envpanel-input"
            rows={2}
            maxLength={500}
            value={text}
            placeholder={trans.__('What it is for, and whose it is')}
            onChange={event => {
              setDescribed(true);
              setDescription(event.currentTarget.value);
            }}
          />
        </label>
        {error && <Problem error={error} />}
        <div className="jp-envpanel-buttons">
          <Button type="submit" look="accent" icon={copyIcon} disabled={isBusy}>
            {isBusy ? trans.__('Cloning…') : trans.__('Clone')}
          </Button>
          <Button onClick={props.back}>{trans.__('Cancel')}</Button>
        </div>
        <p className="jp-envpanel-quiet">
          {trans.__(
            'The clone has the same packages, and its own history. The environment it comes from stays as it is.'
          )}
        </p>
      </div>
    </form>
  );
}
