import { nullTranslator } from '@jupyterlab/translation';
import { describe, expect, it } from 'vitest';
import { ago, duration, isRequirement, nameOf, nameProblem, plain, requirementsOf, suggestName } from '../src/format';
import { intentOf, requestText } from '../src/intents';

const trans = nullTranslator.load('envpanel');

describe('names', () => {
  it.each(['a', 'churn-features', 'a_1', 'a'.repeat(64)])('takes %s', name => {
    expect(nameProblem(name, [], trans)).toBeNull();
  });

  it.each(['', 'Churn', '1st', '-a', 'a b', 'ä', 'a'.repeat(65), 'a/b'])('refuses “%s”', name => {
    expect(nameProblem(name, [], trans)).not.toBeNull();
  });

  it('refuses a name that is taken', () => {
    expect(nameProblem('churn', ['churn'], trans)).toContain('already');
  });

  it('suggests a name that can be had', () => {
    expect(suggestName('Churn V2!')).toBe('churn-v2');
    expect(suggestName('123')).toBe('');
  });
});

describe('times', () => {
  const now = Date.parse('2026-11-21T12:00:00Z');
  it.each([
    ['2026-11-21T11:59:50Z', 'now'],
    ['2026-11-21T10:00:00Z', '2 hr. ago'],
    ['2026-11-20T10:00:00Z', 'yesterday'],
    ['2026-11-21T12:00:30Z', 'now']
  ])('%s is %s', (time, text) => {
    expect(ago(time, now, 'en-US')).toBe(text);
  });

  it('leaves what is no time as it is', () => {
    expect(ago('soon', now)).toBe('soon');
  });

  it('says how long something took', () => {
    expect([0.045, 4.07, 42, 125].map(value => duration(value, trans))).toEqual([
      '45 ms',
      '4.1 s',
      '42 s',
      '2 min 5 s'
    ]);
  });
});

describe('logs', () => {
  it('loses what a terminal would do', () => {
    expect(plain('\u001b[31merror\u001b[0m: \u001b]8;;http://x\u0007link\u001b]8;;\u0007')).toBe('error: link');
  });

  it('shows the last state of a bar that is drawn over itself', () => {
    expect(plain('10%\r50%\r100%')).toBe('100%');
  });

  it('keeps tabs and all that can be read', () => {
    expect(plain('a\tb <b>ü</b>')).toBe('a\tb <b>ü</b>');
  });
});

describe('requirements', () => {
  it('are read from a pasted file; options are told, comments and hashes dropped', () => {
    const text =
      '# ours\npolars<2  # old\n-r more.txt\nnumpy==2.1 \\\n  --hash=sha256:abc\n\nx @ git+https://h/x#egg\n';
    expect(requirementsOf(text)).toEqual({
      specs: ['polars<2', 'numpy==2.1', 'x @ git+https://h/x#egg'],
      ignored: ['-r more.txt']
    });
  });

  it('are of a package', () => {
    expect(['NumPy[x]<2', 'typing_extensions', 'a.b @ https://h'].map(nameOf)).toEqual([
      'numpy',
      'typing-extensions',
      'a-b'
    ]);
  });

  it.each(['numpy', 'numpy<2', 'numpy >= 1, < 2', 'ruamel.yaml'])('may be what “%s” searches for', text => {
    expect(isRequirement(text)).toBe(true);
  });

  it.each(['', 'a', 'team a', 'Features of', '<2', '-x'])('are not what “%s” searches for', text => {
    expect(isRequirement(text)).toBe(false);
  });
});

describe('intents', () => {
  it('come back from what the history kept', () => {
    const given = { source: { name: 'base', revision: 3 }, description: 'x' };
    expect(intentOf('clone', given)).toEqual({ operation: 'clone', source: 'base', revision: 3, description: 'x' });
    expect(requestText('install', { requirements: ['a<2', 'b'] })).toBe('a<2, b');
    expect(intentOf('verify', {})).toBeNull();
  });
});
