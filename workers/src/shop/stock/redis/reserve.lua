-- Sets units apart for a batch of orders, each all or nothing, if Redis is in the generation that the caller means.
--
-- KEYS  the marker of the generation, the hash of available units by product
-- ARGV  the marker meant, the prefix of records, how long records live (s), the number of products, the products, the
--       number of orders, and for each order: name, lines as text, the number of lines, and for each line: which product
--       (from 1), quantity
-- Answers STALE, or OK and for each order three values: what came of it, the line that it failed at (from 0), available
--
-- Everything is read at once, decided here, and then written: a call costs more than what is done in it. Nothing is
-- written before all is decided: an error half-way would not take earlier writes back.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {'STALE'}
end

local shelf, prefix, lifetime = KEYS[2], ARGV[2], ARGV[3]

-- The answers of a command to many arguments, asked for as many at once as the stack takes.
local function read(command, first, arguments)
  local found = {}
  for from = 1, #arguments, 1000 do
    local to = math.min(from + 999, #arguments)
    local part
    if first then
      part = redis.call(command, first, unpack(arguments, from, to))
    else
      part = redis.call(command, unpack(arguments, from, to))
    end
    for i = 1, #part do
      found[from + i - 1] = part[i]
    end
  end
  return found
end

local products = {}
for i = 1, tonumber(ARGV[4]) do
  products[i] = ARGV[4 + i]
end
-- What is available of each product, by its place; false of one that is unknown. Numbers below 2^52 are exact as doubles.
local available, taken = read('HMGET', shelf, products), {}
for i = 1, #products do
  available[i] = available[i] and tonumber(available[i])
  taken[i] = 0
end

-- Each order: the key of its record, and where it stands in ARGV.
local at = 5 + #products
local records, places = {}, {}
local orders = tonumber(ARGV[at])
at = at + 1
for i = 1, orders do
  records[i], places[i] = prefix .. ARGV[at], at
  at = at + 3 + 2 * tonumber(ARGV[at + 2])
end
local known, by_record = read('MGET', nil, records), {}

-- Why an order cannot be served; nothing if it can. A product that is unknown counts before one that is short.
local function refusal(first, count)
  local short = nil
  for i = 0, count - 1 do
    local there = available[tonumber(ARGV[first + 2 * i])]
    if not there then
      return {'unknown', i, 0}
    end
    if not short and there < tonumber(ARGV[first + 2 * i + 1]) then
      short = {'short', i, there}
    end
  end
  return short
end

local answers, new = {'OK'}, {}
local function answer(what, line, units)
  answers[#answers + 1] = what
  answers[#answers + 1] = tostring(line)
  answers[#answers + 1] = string.format('%d', units)
end

for i = 1, orders do
  local place = places[i]
  local record = by_record[records[i]] or known[i]
  if record == 'X' then
    answer('out', 0, 0)
  elseif record then
    answer('taken', 0, 0)
  else
    local first, count = place + 3, tonumber(ARGV[place + 2])
    local refused = refusal(first, count)
    if refused then
      answer(refused[1], refused[2], refused[3])
    else
      for line = 0, count - 1 do
        local product, quantity = tonumber(ARGV[first + 2 * line]), tonumber(ARGV[first + 2 * line + 1])
        available[product] = available[product] - quantity
        taken[product] = taken[product] + quantity
      end
      by_record[records[i]] = ARGV[place + 1]
      new[#new + 1] = i
      answer('taken', 0, 0)
    end
  end
end

for i = 1, #products do
  if taken[i] > 0 then
    redis.call('HINCRBY', shelf, products[i], string.format('-%d', taken[i]))
  end
end
for _, i in ipairs(new) do
  redis.call('SET', records[i], ARGV[places[i] + 1], 'EX', lifetime)
end
return answers
