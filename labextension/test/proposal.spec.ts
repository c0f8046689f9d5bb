import { describe, expect, it } from 'vitest';
import { PanelModel } from '../src/model';
import { Proposal } from '../src/proposal';
import { RequestError } from '../src/request';
import { FakeEnvironments } from './fake';

function propose(service: FakeEnvironments): Proposal {
  return new Proposal(new PanelModel(service), 'churn', { operation: 'install', requirements: ['polars'] });
}

describe('Proposal', () => {
  it('shows what would happen before anything does', async () => {
    const service = new FakeEnvironments();
    const proposal = propose(service);
    await proposal.resolve();
    expect(proposal.state).toBe('ready');
    expect(service.environments[1].head).toBe(1);
  });

  it('makes one revision of the plan that was seen', async () => {
    const service = new FakeEnvironments();
    const proposal = propose(service);
    await proposal.resolve();
    await proposal.apply('why');
    expect(proposal.state).toBe('done');
    expect(proposal.outcome?.record.number).toBe(2);
  });

  it('explains a head that moved, and previews again instead of applying', async () => {
    const service = new FakeEnvironments();
    service.refusals = [new RequestError(409, { code: 'head-moved', message: 'Ben was first.' })];
    const proposal = propose(service);
    await proposal.resolve();
    await proposal.apply('why');
    expect(proposal.state).toBe('ready');
    expect(proposal.moved?.message).toBe('Ben was first.');
    expect(service.environments[1].head).toBe(1);
    await proposal.apply('why');
    expect(proposal.state).toBe('done');
  });

  it('tells any other refusal, and can be tried again', async () => {
    const service = new FakeEnvironments();
    service.refusals = [new RequestError(422, { code: 'unsatisfiable', message: 'They do not go together.' })];
    const proposal = propose(service);
    await proposal.resolve();
    await proposal.apply('');
    expect([proposal.state, proposal.error?.message]).toEqual(['failed', 'They do not go together.']);
    await proposal.resolve();
    expect(proposal.state).toBe('ready');
  });

  it('applies nothing that was not seen', async () => {
    const service = new FakeEnvironments();
    await propose(service).apply('');
    expect(service.environments[1].head).toBe(1);
  });
});
