/** Collects packages into one list, from a search, as typed, or pasted; what they would do is previewed next. */

import { addIcon, closeIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { nameOf, requirementsOf } from '../format';
import { Package, PackageInfo, Search } from '../types';
import { Button, IconButton } from './button';
import { useTrans } from './context';
import { BackButton } from './environment';
import { Loading, Note, Problem } from './message';

export interface InstallProps {
  name: string;
  /** What is installed. */
  packages: readonly Package[];
  requirements: readonly string[];
  /** The list is another one now. */
  onChange(requirements: readonly string[]): void;
  search(query: string): Promise<Search>;
  info(name: string): Promise<PackageInfo>;
  preview(requirements: readonly string[]): void;
  back(): void;
}

export function InstallForm(props: InstallProps): React.JSX.Element {
  const trans = useTrans();
  const { name, packages } = props;
  const [specs, setSpecs] = React.useState<readonly string[]>(props.requirements);
  const [text, setText] = React.useState('');
  const [ignored, setIgnored] = React.useState<readonly string[]>([]);
  const field = React.useRef<HTMLInputElement>(null);
  React.useEffect(() => field.current?.focus(), []);
  React.useEffect(() => props.onChange(specs), [specs]);

  const add = (more: readonly string[]) => {
    const names = new Set(more.map(nameOf));
    // The last word on a package counts.
    setSpecs(known => [...known.filter(spec => !names.has(nameOf(spec))), ...more]);
    setText('');
    field.current?.focus();
  };
  const addText = (value: string) => {
    const found = requirementsOf(value.includes('\n') ? value : value.replace(/\s*;;\s*/g, '\n'));
    setIgnored(found.ignored);
    if (found.specs.length > 0) {
      add(found.specs);
    }
  };
  const submit = (event: React.FormEvent) => {
    event.preventDefault();
    if (text.trim()) {
      addText(text);
    } else if (specs.length > 0) {
      props.preview(specs);
    }
  };
  return (
    <form className="jp-envpanel-page" onSubmit={submit}>
      <header className="jp-envpanel-header">
        <BackButton onClick={props.back} text={name} />
      </header>
      <div className="jp-envpanel-body jp-envpanel-form">
        <h2 className="jp-envpanel-form-title" tabIndex={-1}>
          {trans.__('Install packages')}
        </h2>
        <label className="jp-envpanel-field">
          <span>{trans.__('Package or specification')}</span>
          <div className="jp-envpanel-add">
            <input
              ref={field}
              className="jp-envpanel-input"
              value={text}
              spellCheck={false}
              autoComplete="off"
              placeholder={trans.__('polars, or polars<2')}
              onChange={event => setText(event.currentTarget.value)}
              onKeyDown={event => {
                // First what was typed is taken back; then the page.
                if (event.key === 'Escape' && text) {
                  event.stopPropagation();
                  setText('');
                }
              }}
              onPaste={event => {
                const pasted = event.clipboardData.getData('text');
                if (pasted.includes('\n')) {
                  event.preventDefault();
                  addText(pasted);
                }
              }}
            />
            <Button type="submit" icon={addIcon} disabled={!text.trim()}>
              {trans.__('Add')}
            </Button>
          </div>
        </label>
        <p className="jp-envpanel-quiet">{trans.__('Lines of a requirements.txt can be pasted here.')}</p>
        {ignored.length > 0 && (
          <Note kind="warn">
            {trans.__('Left out, as these lines are options and no packages: %1', ignored.join(' · '))}
          </Note>
        )}
        <Found query={text} packages={packages} search={props.search} info={props.info} add={spec => add([spec])} />
        {specs.length > 0 && (
          <section aria-label={trans.__('To install')}>
            <h3 className="jp-envpanel-subtitle">
              {trans.__('To install')} <span className="jp-envpanel-number">{specs.length}</span>
            </h3>
            <ul className="jp-envpanel-specs">
              {specs.map(spec => (
                <li key={spec}>
                  <bdi>{spec}</bdi>
                  <Installed packages={packages} name={nameOf(spec)} />
                  <IconButton
                    icon={closeIcon}
                    label={trans.__('Leave out %1', spec)}
                    onClick={() => setSpecs(specs.filter(item => item !== spec))}
                  />
                </li>
              ))}
            </ul>
          </section>
        )}
        <div className="jp-envpanel-buttons">
          <Button look="accent" disabled={specs.length === 0} onClick={() => props.preview(specs)}>
            {trans.__('Preview')}
          </Button>
          <Button onClick={props.back}>{trans.__('Cancel')}</Button>
        </div>
        <p className="jp-envpanel-quiet">{trans.__('Nothing is changed before you have seen what would change.')}</p>
      </div>
    </form>
  );
}

function Installed({ packages, name }: { packages: readonly Package[]; name: string }): React.JSX.Element | null {
  const trans = useTrans();
  const item = packages.find(each => nameOf(each.name) === name);
  return item ? <span className="jp-envpanel-tag">{trans.__('%1 installed', item.version)}</span> : null;
}

/** What the indexes have of such a name. */
function Found(props: {
  query: string;
  packages: readonly Package[];
  search(query: string): Promise<Search>;
  info(name: string): Promise<PackageInfo>;
  add(spec: string): void;
}): React.JSX.Element | null {
  const trans = useTrans();
  // A specification says already what is wanted; its name is what there is to look up.
  const query = props.query.trim().split(/[\s<>=!~;@[(]/)[0];
  const [found, setFound] = React.useState<Search | null>(null);
  const [error, setError] = React.useState<Error | null>(null);
  const [opened, setOpened] = React.useState<string | null>(null);
  React.useEffect(() => {
    setError(null);
    if (query.length < 2) {
      setFound(null);
      return;
    }
    let isHere = true;
    const ask = () =>
      props.search(query).then(
        value => {
          if (isHere) {
            setFound(value);
            if (value.loading.length > 0) {
              // The list of names is being fetched: what it has comes in a moment.
              timer = window.setTimeout(() => void ask(), 1000);
            }
          }
        },
        (reason: Error) => isHere && setError(reason)
      );
    let timer = window.setTimeout(() => void ask(), 200);
    return () => {
      isHere = false;
      window.clearTimeout(timer);
    };
  }, [query]);
  if (query.length < 2) {
    return null;
  }
  if (error) {
    return <Problem error={error} />;
  }
  if (!found) {
    return <Loading text={trans.__('Searching…')} />;
  }
  return (
    <section className="jp-envpanel-found" aria-label={trans.__('Packages found')}>
      <ul>
        {found.matches.slice(0, 8).map(match => (
          <li key={match.name} className={opened === match.name ? 'jp-mod-open' : ''}>
            <div className="jp-envpanel-found-line">
              <button
                type="button"
                className="jp-envpanel-found-name"
                aria-expanded={opened === match.name}
                onClick={() => setOpened(opened === match.name ? null : match.name)}
              >
                <bdi>{match.name}</bdi>
                {match.how === 'similar' && <span className="jp-envpanel-quiet">{trans.__('similar')}</span>}
                <Installed packages={props.packages} name={match.name} />
              </button>
              <IconButton icon={addIcon} label={trans.__('Add %1', match.name)} onClick={() => props.add(match.name)} />
            </div>
            {opened === match.name && (
              <Versions name={match.name} packages={props.packages} info={props.info} add={props.add} />
            )}
          </li>
        ))}
      </ul>
      {found.matches.length === 0 && found.loading.length === 0 && (
        <p className="jp-envpanel-quiet">{trans.__('No package is named like “%1”.', query)}</p>
      )}
      {found.loading.length > 0 && <Loading text={trans.__('The list of packages is being fetched…')} />}
      {found.notes.map(note => (
        <p key={note} className="jp-envpanel-quiet">
          <bdi>{note}</bdi>
        </p>
      ))}
    </section>
  );
}

function Versions(props: {
  name: string;
  packages: readonly Package[];
  info(name: string): Promise<PackageInfo>;
  add(spec: string): void;
}): React.JSX.Element {
  const trans = useTrans();
  const { name } = props;
  const [told, setTold] = React.useState<PackageInfo | null>(null);
  const [error, setError] = React.useState<Error | null>(null);
  const [version, setVersion] = React.useState('');
  React.useEffect(() => {
    let isHere = true;
    props.info(name).then(
      value => isHere && setTold(value),
      (reason: Error) => isHere && setError(reason)
    );
    return () => {
      isHere = false;
    };
  }, [name]);
  if (error) {
    return <Problem error={error} />;
  }
  if (!told) {
    return <Loading />;
  }
  const installed = props.packages.find(item => nameOf(item.name) === nameOf(name))?.version;
  const mark = (release: PackageInfo['releases'][number]): string =>
    [
      release.version,
      release.version === installed ? trans.__('installed') : '',
      release.version === told.newest ? trans.__('newest') : '',
      release.prerelease ? trans.__('pre-release') : '',
      release.yanked ? trans.__('withdrawn') : '',
      release.fits === 'no' ? trans.__('not for Python %1', told.python) : '',
      release.fits === 'source' ? trans.__('is built from source') : ''
    ]
      .filter(Boolean)
      .join(' · ');
  return (
    <div className="jp-envpanel-found-versions">
      {told.summary && (
        <p>
          <bdi>{told.summary}</bdi>
        </p>
      )}
      <div className="jp-envpanel-add">
        <select
          className="jp-envpanel-input"
          aria-label={trans.__('Version of %1', name)}
          value={version}
          onChange={event => setVersion(event.currentTarget.value)}
        >
          <option value="">
            {told.newest ? trans.__('any version (newest: %1)', told.newest) : trans.__('any version')}
          </option>
          {told.releases.slice(0, 300).map(release => (
            <option key={`${release.index} ${release.version}`} value={release.version}>
              {mark(release)}
            </option>
          ))}
        </select>
        <Button onClick={() => props.add(version ? `${name}==${version}` : name)}>{trans.__('Add')}</Button>
      </div>
    </div>
  );
}
