/** A file of a revision, to look at and to take along. */

import { copyIcon, downloadIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { plain } from '../format';
import { IconButton } from './button';
import { useTrans } from './context';
import { Loading, Problem } from './message';

export interface FileProps {
  /** Its name where it is saved. */
  name: string;
  load(): Promise<string>;
}

export function FileView({ name, load }: FileProps): React.JSX.Element {
  const trans = useTrans();
  const [text, setText] = React.useState<string | null>(null);
  const [error, setError] = React.useState<Error | null>(null);
  React.useEffect(() => {
    let isHere = true;
    load().then(
      value => isHere && setText(value),
      (reason: Error) => isHere && setError(reason)
    );
    return () => {
      isHere = false;
    };
  }, [name]);
  if (error) {
    return <Problem error={error} />;
  }
  if (text === null) {
    return <Loading />;
  }
  return (
    <figure className="jp-envpanel-file">
      <figcaption>
        <bdi>{name}</bdi>
        <IconButton
          icon={copyIcon}
          label={trans.__('Copy')}
          onClick={() => void navigator.clipboard?.writeText(text)}
        />
        <IconButton icon={downloadIcon} label={trans.__('Download %1', name)} onClick={() => save(name, text)} />
      </figcaption>
      <pre className="jp-envpanel-log" tabIndex={0} aria-label={name}>
        {text.split('\n').map(plain).join('\n')}
      </pre>
    </figure>
  );
}

/** Have the browser save a text. */
function save(name: string, text: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
