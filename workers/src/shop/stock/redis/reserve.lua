-- Sets units apart for a batch of orders, each all or nothing, if Redis is in the generation that the caller means.
--
-- KEYS  the marker of the generation, the hash of available units by product
-- ARGV  the marker meant, the prefix of records, how long records live (s), the number of orders, and for each order:
--       name, lines as text, the number of lines, and for each line: product, quantity
-- Answers STALE, or OK and for each order three values: what came of it, the line that it failed at (from 0), available
--
-- Nothing is written for an order before all of it is checked: an error half-way would not take earlier writes back.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {'STALE'}
end

local shelf = KEYS[2]

-- Why an order cannot be served; nothing if it can. A product that is unknown counts before one that is short.
local function refusal(first, count)
  local short = nil
  for i = 0, count - 1 do
    local available = redis.call('HGET', shelf, ARGV[first + 2 * i])
    if not available then
      return {'unknown', i, 0}
    end
    -- Numbers below 2^52 are exact as doubles.
    if not short and tonumber(available) < tonumber(ARGV[first + 2 * i + 1]) then
      short = {'short', i, available}
    end
  end
  return short
end

local answers = {'OK'}
local function answer(what, line, available)
  answers[#answers + 1] = what
  answers[#answers + 1] = tostring(line)
  answers[#answers + 1] = tostring(available)
end

local at = 5
for _ = 1, tonumber(ARGV[4]) do
  local record, lines, count = ARGV[2] .. ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local first = at + 3
  at = first + 2 * count
  local known = redis.call('GET', record)
  if known == 'X' then
    answer('out', 0, 0)
  elseif known then
    answer('taken', 0, 0)
  else
    local refused = refusal(first, count)
    if refused then
      answer(refused[1], refused[2], refused[3])
    else
      for i = 0, count - 1 do
        redis.call('HINCRBY', shelf, ARGV[first + 2 * i], '-' .. ARGV[first + 2 * i + 1])
      end
      redis.call('SET', record, lines, 'EX', ARGV[3])
      answer('taken', 0, 0)
    end
  end
end
return answers
