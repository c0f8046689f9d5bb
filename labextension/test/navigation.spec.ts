import { describe, expect, it } from 'vitest';
import { Navigation } from '../src/navigation';

describe('Navigation', () => {
  it('leads back step by step; a tab is no step', () => {
    const navigation = new Navigation();
    navigation.go({ kind: 'environment', name: 'churn', tab: 'packages' });
    navigation.go({ kind: 'environment', name: 'churn', tab: 'history' });
    navigation.go({ kind: 'install', name: 'churn' });
    navigation.back();
    expect(navigation.page).toEqual({ kind: 'environment', name: 'churn', tab: 'history' });
    navigation.back();
    expect(navigation.page.kind).toBe('list');
    navigation.back();
    expect(navigation.page.kind).toBe('list');
  });

  it('does not lead back into forms that are done with', () => {
    const navigation = new Navigation();
    navigation.go({ kind: 'environment', name: 'churn', tab: 'packages' });
    navigation.go({ kind: 'install', name: 'churn' });
    navigation.go({ kind: 'proposal', name: 'churn', intent: { operation: 'upgrade' } });
    navigation.finish({ kind: 'environment', name: 'churn', tab: 'history', revision: 4 });
    navigation.back();
    expect(navigation.page.kind).toBe('list');
  });
});
