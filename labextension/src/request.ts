/** The one door to the server: every request of the panel goes through `request`. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { ErrorReply } from './types';

/** The server has said no, in a sentence. */
export class RequestError extends Error {
  readonly code: string;
  readonly hint: string | null;
  readonly path: string | null;
  readonly details: Record<string, unknown> | null;

  constructor(
    readonly status: number,
    reply: Partial<ErrorReply>
  ) {
    super(reply.message || `The server answered with ${status}.`);
    this.code = reply.code ?? 'error';
    this.hint = reply.hint ?? null;
    this.path = reply.path ?? null;
    this.details = reply.details ?? null;
  }
}

/** There was no answer at all. */
export class Offline extends Error {
  constructor() {
    super('The Jupyter server does not answer.');
  }
}

export interface Asked {
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  query?: Record<string, string | number | boolean | null | undefined>;
  body?: unknown;
}

export interface Answer {
  status: number;
  text: string;
}

/** Ask for a path below `envpanel/`; every part of it is encoded here. */
export async function request(
  settings: ServerConnection.ISettings,
  path: readonly (string | number)[],
  { method = 'GET', query = {}, body }: Asked = {}
): Promise<Answer> {
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { 'Content-Type': 'application/json' };
  }
  const url = address(settings, path, query);
  let response: Response;
  let text: string;
  try {
    response = await ServerConnection.makeRequest(url, init, settings);
    text = await response.text();
  } catch {
    throw new Offline();
  }
  // What a proxy says in the server's place while that is away.
  if ([502, 504].includes(response.status)) {
    throw new Offline();
  }
  if (!response.ok) {
    throw new RequestError(response.status, reply(text));
  }
  return { status: response.status, text };
}

/** Where something is that a browser can open by itself, such as a file to download. */
export function address(
  settings: ServerConnection.ISettings,
  path: readonly (string | number)[],
  query: Asked['query'] = {}
): string {
  const parts = path.map(part => encodeURIComponent(String(part)));
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const asked = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return URLExt.join(settings.baseUrl, 'envpanel', ...parts) + (asked ? `?${asked}` : '');
}

function reply(text: string): Partial<ErrorReply> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    // A page of a proxy.
    return {};
  }
}
