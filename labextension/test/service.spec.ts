import { Event, ServerConnection } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Offline, RequestError } from '../src/request';
import { RestEnvironments } from '../src/service';
import { Notice } from '../src/tokens';
import { CHANGED } from '../src/types';

const settings = ServerConnection.makeSettings({ baseUrl: 'http://localhost/user/ana/' });

function answering(status: number, body: unknown): { service: RestEnvironments; asked: [string, RequestInit][] } {
  const asked: [string, RequestInit][] = [];
  vi.spyOn(ServerConnection, 'makeRequest').mockImplementation((url, init) => {
    asked.push([url, init]);
    return Promise.resolve(new Response(JSON.stringify(body), { status }));
  });
  return { service: new RestEnvironments(settings, new Signal<object, Event.Emission>({})), asked };
}

describe('RestEnvironments', () => {
  afterEach(() => vi.restoreAllMocks());

  it('asks below the address of the server, and encodes what people have typed', async () => {
    const { service, asked } = answering(200, { matches: [] });
    await service.search('a&b');
    await service.package('../../etc', '3.11');
    expect(asked[0][0]).toBe('http://localhost/user/ana/envpanel/packages?query=a%26b&limit=20');
    expect(asked[1][0]).toBe('http://localhost/user/ana/envpanel/packages/..%2F..%2Fetc?python=3.11');
  });

  it('gives the server’s own sentence where it says no', async () => {
    const { service } = answering(409, { message: 'The name is taken.', code: 'name-taken', path: null, hint: 'x' });
    const refused = service.change('churn', { operation: 'archive' });
    await expect(refused).rejects.toMatchObject({ message: 'The name is taken.', code: 'name-taken', hint: 'x' });
    await expect(refused).rejects.toBeInstanceOf(RequestError);
  });

  it('tells a server that is away from one that says no', async () => {
    const { service } = answering(200, {});
    vi.spyOn(ServerConnection, 'makeRequest').mockRejectedValue(new TypeError('network'));
    await expect(service.about()).rejects.toBeInstanceOf(Offline);
    answering(502, 'a page of a proxy');
    await expect(service.about()).rejects.toBeInstanceOf(Offline);
  });

  it('takes an answer of 202 for a build, and any other for the outcome', async () => {
    expect((await answering(202, { id: 'b' }).service.apply('churn', 'p', '')).build?.id).toBe('b');
    expect((await answering(201, { changed: true }).service.apply('churn', 'p', '')).outcome?.changed).toBe(true);
  });

  it('passes on the server’s notices, and no others', () => {
    const events = new Signal<object, Event.Emission>({});
    const service = new RestEnvironments(settings, events);
    const heard: Notice[] = [];
    service.notices.connect((_, notice) => void heard.push(notice));
    events.emit({ schema_id: CHANGED, environment: 'churn' } as unknown as Event.Emission);
    events.emit({ schema_id: 'https://elsewhere', environment: 'x' } as unknown as Event.Emission);
    expect(heard.map(notice => notice.kind)).toEqual(['changed']);
  });
});
