/** Changes as they are asked for, from what the history kept of them. */

import { Intent } from './types';

/** The intent of an operation with its arguments, as a record or an attempt has them; null where it is no change. */
export function intentOf(operation: string, given: Record<string, unknown>): Intent | null {
  const texts = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);
  switch (operation) {
    case 'install':
      return { operation, requirements: texts(given.requirements) };
    case 'uninstall':
      return { operation, packages: texts(given.packages) };
    case 'upgrade':
      return { operation, packages: texts(given.packages) };
    case 'restore':
      return typeof given.revision === 'number' ? { operation, revision: given.revision } : null;
    case 'clone': {
      const source = given.source as { name: string; revision: number } | undefined;
      const description = typeof given.description === 'string' ? given.description : null;
      return source ? { operation, source: source.name, revision: source.revision, description } : null;
    }
    default:
      return null;
  }
}

/** What was asked for, in one line: `polars<1.30, cowsay`. */
export function requestText(operation: string, given: Record<string, unknown>): string {
  const intent = intentOf(operation, given);
  switch (intent?.operation) {
    case 'install':
      return intent.requirements?.join(', ') ?? '';
    case 'uninstall':
    case 'upgrade':
      return intent.packages?.join(', ') ?? '';
    case 'restore':
      return `r${intent.revision}`;
    case 'clone':
      return `${intent.source} r${intent.revision}`;
    default:
      return '';
  }
}
