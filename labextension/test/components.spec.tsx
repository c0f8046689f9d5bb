import * as React from 'react';
import { act } from 'react';
import { createRoot, Root } from 'react-dom/client';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { DiffView } from '../src/components/diff';
import { List, ListActions, newListMemory } from '../src/components/list';
import { LogView } from '../src/components/log';
import { Environment } from '../src/types';
import { build, environment, NOTHING } from './fake';

let root: Root | null = null;
let box: HTMLElement;

function show(element: React.JSX.Element): HTMLElement {
  box = document.createElement('div');
  document.body.append(box);
  root = createRoot(box);
  act(() => root?.render(element));
  return box;
}

afterEach(() => {
  act(() => root?.unmount());
  box.remove();
});

function actions(): ListActions {
  return {
    open: vi.fn(),
    clone: vi.fn(),
    install: vi.fn(),
    cancel: vi.fn(),
    menu: vi.fn(),
    having: () => Promise.resolve({}),
    refresh: vi.fn(),
    create: vi.fn()
  };
}

function list(environments: Environment[] | null, more: Partial<React.ComponentProps<typeof List>> = {}) {
  return show(
    <List
      environments={environments}
      kernels={[]}
      builds={[]}
      isOnline={true}
      error={null}
      memory={newListMemory()}
      actions={actions()}
      {...more}
    />
  );
}

describe('DiffView', () => {
  it('shows what was asked for first, and folds what that brought along', () => {
    const installed = [
      { name: 'aaa', version: '1', requested: false },
      { name: 'polars', version: '2.1', requested: true },
      { name: 'zzz', version: '3', requested: false }
    ];
    const element = show(<DiffView diff={{ ...NOTHING, installed }} />);
    expect(element.textContent).toContain('polars2.1');
    expect(element.textContent).not.toContain('aaa');
    const fold = element.querySelector<HTMLElement>('[aria-expanded]');
    expect(fold?.textContent).toBe('2 pulled-in packages');
    act(() => fold?.click());
    expect(element.textContent).toContain('aaa');
  });

  it('says it where nothing is different', () => {
    expect(show(<DiffView diff={NOTHING} />).textContent).toContain('The packages are the same.');
  });
});

describe('List', () => {
  it('has a state for each: looking, none, failed, away', () => {
    expect(list(null).querySelector('[role=status]')).not.toBeNull();
    expect(list([]).textContent).toContain('There are no environments yet.');
    expect(list(null, { error: new Error('The home is gone.') }).querySelector('[role=alert]')?.textContent).toContain(
      'The home is gone.'
    );
    expect(list([environment('a')], { isOnline: false }).textContent).toContain('does not answer');
  });

  it('shows hostile text as text', () => {
    const description = '<img src=x onerror=hit()>';
    const element = list([environment('a', { description })]);
    expect(element.querySelector('img')).toBeNull();
    expect(element.querySelector('bdi.jp-envpanel-row-description')?.textContent).toBe(description);
  });

  it('shows a new environment at once, and its progress by name, number and words', () => {
    const element = list([], { builds: [build('b', { environment: 'fresh', operation: 'clone' })] });
    expect(element.textContent).toContain('Syncing packages');
    const bar = element.querySelector('[role=progressbar]');
    expect(bar?.getAttribute('aria-valuenow')).toBe('25');
    expect(bar?.getAttribute('aria-valuetext')).toBe('installing 1 of 4');
    expect(bar?.getAttribute('aria-label')).toContain('fresh');
  });

  it('leads with Tab to one row, and from there by arrows', () => {
    const element = list([environment('a'), environment('b'), environment('c')]);
    const rows = [...element.querySelectorAll<HTMLElement>('button.jp-envpanel-row-main')];
    expect(rows.map(row => row.tabIndex)).toEqual([0, -1, -1]);
    act(() => rows[0].focus());
    act(() => void rows[0].dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown', bubbles: true })));
    expect(document.activeElement).toBe(rows[1]);
  });

  it('offers to clone a base, and to install into all others', () => {
    const element = list([environment('b', { kind: 'base' }), environment('c')]);
    const names = [...element.querySelectorAll('.jp-envpanel-row-actions button')].map(item =>
      item.getAttribute('aria-label')
    );
    expect(names).toEqual(['Clone b', 'More for b', 'Install into c', 'More for c']);
  });
});

describe('LogView', () => {
  it('shows the colours of a terminal as nothing', () => {
    expect(show(<LogView lines={['\u001b[1mBuilding\u001b[0m', '<b>x</b>']} />).textContent).toBe('Building\n<b>x</b>');
  });
});
