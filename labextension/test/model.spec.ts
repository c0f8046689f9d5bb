import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Ended, PanelModel } from '../src/model';
import { build, environment, FakeEnvironments } from './fake';

describe('PanelModel', () => {
  let service: FakeEnvironments;
  let model: PanelModel;

  beforeEach(() => {
    vi.useFakeTimers({ shouldAdvanceTime: false });
    service = new FakeEnvironments();
    model = new PanelModel(service);
  });

  afterEach(() => {
    model.dispose();
    vi.useRealTimers();
  });

  it('knows nothing before it has asked, and all of it after', async () => {
    expect(model.environments).toBeNull();
    await model.refresh();
    expect(model.environments?.map(item => item.name)).toEqual(['base', 'churn']);
    expect(model.about?.user).toBe('Ana');
  });

  it('shows a colleague’s commit without being asked', async () => {
    await model.refresh();
    const heard: string[] = [];
    model.environmentChanged.connect((_, name) => void heard.push(name));
    service.commit('churn');
    expect(heard).toContain('churn');
    await vi.advanceTimersByTimeAsync(100);
    expect(model.environment('churn')?.head).toBe(2);
  });

  it('gathers what happens at once into one refresh', async () => {
    await model.refresh();
    const before = service.asked;
    for (let count = 0; count < 20; count++) {
      service.commit('churn');
    }
    await vi.advanceTimersByTimeAsync(100);
    expect(service.asked - before).toBeLessThanOrEqual(6);
  });

  it('follows the steps of a build without asking for each', async () => {
    await model.refresh();
    service.progress(build('b'));
    await vi.advanceTimersByTimeAsync(0);
    const before = service.asked;
    const step = { phase: 'installing', done: 3, total: 4, unit: 'packages', detail: '' };
    service.progress(build('b', { progress: step }));
    expect(model.running('churn')?.progress.done).toBe(3);
    expect(service.asked).toBe(before);
  });

  it('gives a build that ends to who waits for it, with its result', async () => {
    await model.refresh();
    const waited = model.finish(build('b'));
    service.progress(build('b', { state: 'succeeded', result: 'all of it' }));
    expect((await waited).result).toBe('all of it');
  });

  it('asks for a build that says nothing: its end may have been lost with the connection', async () => {
    await model.refresh();
    const waited = model.finish(build('b'));
    service.running = [build('b', { state: 'succeeded', result: 'found' })];
    await vi.advanceTimersByTimeAsync(5000);
    expect((await waited).result).toBe('found');
  });

  it('finds after a reload what runs, and tells how it ends', async () => {
    service.running = [build('b', { author: { username: 'ana', name: 'Ana', verified: true } })];
    const ended: Ended[] = [];
    model.ended.connect((_, value) => void ended.push(value));
    await model.refresh();
    expect(model.running('churn')?.id).toBe('b');
    service.progress(
      build('b', { state: 'failed', failure: { code: 'x', message: 'No.', hint: null, details: null } })
    );
    await vi.advanceTimersByTimeAsync(0);
    expect(ended.map(item => [item.environment, item.state])).toEqual([['churn', 'failed']]);
  });

  it('ends builds of a server that was started anew', async () => {
    service.running = [build('b')];
    await model.refresh();
    const waited = model.finish(build('b'));
    service.running = [];
    await model.refresh();
    expect((await waited).failure?.message).toContain('Nothing was changed');
  });

  it('says that the server is away, keeps what it knew, and recovers by itself', async () => {
    await model.refresh();
    model.isSeen = true;
    await vi.advanceTimersByTimeAsync(0);
    service.isAway = true;
    await model.refresh();
    expect(model.isOnline).toBe(false);
    expect(model.environments).toHaveLength(2);
    service.isAway = false;
    service.environments = [...service.environments, environment('new')];
    await vi.advanceTimersByTimeAsync(2000);
    expect(model.isOnline).toBe(true);
    expect(model.environments).toHaveLength(3);
  });

  it('asks a server that is away less and less often', async () => {
    model.isSeen = true;
    service.isAway = true;
    await model.refresh();
    const before = service.asked;
    await vi.advanceTimersByTimeAsync(60_000);
    // Four questions each time; seven or eight times in a minute.
    expect((service.asked - before) / 4).toBeLessThan(10);
  });

  it('asks nothing while nobody looks', async () => {
    await model.refresh();
    const before = service.asked;
    await vi.advanceTimersByTimeAsync(600_000);
    expect(service.asked).toBe(before);
    model.isSeen = true;
    await vi.advanceTimersByTimeAsync(40_000);
    expect(service.asked).toBeGreaterThan(before);
  });

  it('keeps what did not change as the same object, so that rows are not drawn again', async () => {
    await model.refresh();
    const before = model.environments;
    service.environments = service.environments.map(item => ({ ...item }));
    await model.refresh();
    expect(model.environments).toBe(before);
  });
});
