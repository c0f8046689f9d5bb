import { describe, expect, it } from 'vitest';
import { EnvironmentModel } from '../src/environment-model';
import { PanelModel } from '../src/model';
import { environment, FakeEnvironments } from './fake';

describe('EnvironmentModel', () => {
  it('knows how long a history is before it has any of it, and asks for what is in sight', async () => {
    const service = new FakeEnvironments();
    service.environments = [environment('churn', { head: 10_000 })];
    const model = new EnvironmentModel(new PanelModel(service), 'churn');
    await model.load();
    expect(model.length).toBe(10_000);
    expect(model.entry(5000)).toBeUndefined();
    const before = service.asked;
    await model.need(5000, 5020);
    expect(model.entry(5000)?.number).toBe(5000);
    expect(service.asked - before).toBeLessThanOrEqual(2);
    await model.need(5000, 5020);
    expect(service.asked - before).toBeLessThanOrEqual(2);
  });

  it('has a new head when that is told', async () => {
    const service = new FakeEnvironments();
    const model = new EnvironmentModel(new PanelModel(service), 'churn');
    await model.load();
    service.commit('churn');
    await new Promise(resolve => setTimeout(resolve, 0));
    expect(model.length).toBe(2);
  });

  it('keeps the sentence of what is not there', async () => {
    const model = new EnvironmentModel(new PanelModel(new FakeEnvironments()), 'gone');
    await model.load();
    expect(model.error?.message).toContain('There is no environment gone.');
  });
});
